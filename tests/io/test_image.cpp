// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/image.hpp>

#include <doctest/doctest.h>

#include <limits>

using namespace hypersd;

TEST_CASE("values become bytes") {
  CHECK(io::to_byte(-1.0F) == 0);
  CHECK(io::to_byte(1.0F) == 255);
  CHECK(io::to_byte(0.0F) == 128);
  CHECK(io::to_byte(-7.0F) == 0);
  CHECK(io::to_byte(7.0F) == 255);
  CHECK(io::to_byte(std::numeric_limits<float>::infinity()) == 255);
  CHECK(io::to_byte(std::numeric_limits<float>::quiet_NaN()) == 0);
}

TEST_CASE("tensor to picture and back") {
  Tensor<float> t(Shape{2, 3, 3});
  for (std::int64_t i = 0; i < t.size(); ++i) t[i] = static_cast<float>(i) / 9.0F - 1.0F;
  const io::Image image = io::to_image(t);
  CHECK(image.width == 3);
  CHECK(image.height == 2);
  CHECK(image.at(1, 0)[2] == io::to_byte(t[5]));
  const auto back = io::to_tensor(image);
  CHECK(back.shape() == t.shape());
  for (std::int64_t i = 0; i < t.size(); ++i) CHECK(back[i] == doctest::Approx(t[i]).epsilon(0.004));
  CHECK(io::to_image(t.reshape({1, 2, 3, 3})).pixels == image.pixels);
  CHECK_THROWS_AS(io::to_image(Tensor<float>(Shape{2, 3})), ShapeError);
  CHECK_THROWS_AS(io::to_image(Tensor<float>(Shape{2, 3, 2})), ShapeError);
  CHECK_THROWS_AS(io::to_image(Tensor<float>(Shape{2, 2, 3, 1})), ShapeError);
}

TEST_CASE("enlarge and paste") {
  io::Image small(2, 1, 1);
  small.pixels = {10, 20};
  const io::Image big = io::enlarge(small, 2);
  CHECK(big.pixels == std::vector<std::uint8_t>{10, 10, 20, 20, 10, 10, 20, 20});
  CHECK_THROWS_AS(io::enlarge(small, 0), OptionError);
  io::Image canvas(3, 2, 3, 7);
  io::paste(canvas, small, 2, 1);  // the second pixel falls outside
  CHECK(canvas.at(2, 1)[2] == 10);
  CHECK(canvas.at(1, 1)[0] == 7);
  io::paste(canvas, small, -1, 0);
  CHECK(canvas.at(0, 0)[0] == 20);
  io::Image grey(1, 1, 1);
  CHECK_THROWS_AS(io::paste(grey, canvas, 0, 0), ShapeError);
}
