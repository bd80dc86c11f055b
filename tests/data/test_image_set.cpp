// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/image_set.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

data::ImageSet sample() {
  Tensor<std::uint8_t> pixels(Shape{4, 2, 3, 1});
  for (std::int64_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(10 * i);
  return {pixels, Tensor<std::int32_t>::from({4}, {0, 1, 0, 2}), 3};
}

}  // namespace

TEST_CASE("pictures by number and by range") {
  const data::ImageSet set = sample();
  CHECK(set.size() == 4);
  CHECK(set.height() == 2);
  CHECK(set.width() == 3);
  CHECK(set.channels() == 1);
  CHECK(data::from_byte(0) == -1.0F);
  CHECK(data::from_byte(255) == 1.0F);
  const std::vector<std::int64_t> order = {3, 0, 3};
  const auto picked = set.images(order);
  CHECK(picked.shape() == Shape{3, 2, 3, 1});
  CHECK(picked[0] == data::from_byte(180));
  CHECK(picked[6] == -1.0F);
  CHECK(set.labels(order).to_vector() == std::vector<std::int32_t>{2, 0, 2});
  const auto range = set.images(3, 4);
  for (std::int64_t i = 0; i < 6; ++i) CHECK(range[i] == picked[i]);
  CHECK(set.of_class(0) == std::vector<std::int64_t>{0, 2});
  CHECK(set.of_class(0, 1) == std::vector<std::int64_t>{0});
  CHECK(set.first(2).size() == 2);
  CHECK(set.first(99).size() == 4);
  CHECK(set.part(2, 4).labels()[1] == 2);
  CHECK(data::ImageSet().size() == 0);
}

TEST_CASE("what does not fit is refused") {
  const data::ImageSet set = sample();
  const std::vector<std::int64_t> outside = {4}, negative = {-1};
  CHECK(mentions(message_of<ShapeError>([&] { (void)set.images(outside); }), "image 4 of 4"));
  CHECK_THROWS_AS((void)set.labels(negative), ShapeError);
  CHECK_THROWS_AS((void)set.images(2, 5), ShapeError);
  const auto pixels = Tensor<std::uint8_t>::zeros({2, 1, 1, 1});
  CHECK(mentions(message_of<ShapeError>([&] { data::ImageSet(pixels, Tensor<std::int32_t>::zeros({3}), 3); }),
                 "[2, 1, 1, 1] and labels [3]"));
  CHECK(mentions(message_of<FormatError>([&] {
                   data::ImageSet(pixels, Tensor<std::int32_t>::from({2}, {0, 3}), 3);
                 }),
                 "label 3 is not one of 3"));
}

TEST_CASE("padding keeps the picture in the middle") {
  const auto pixels = Tensor<std::uint8_t>::full({2, 1, 2, 3}, 9);
  const auto padded = data::pad(pixels, 4, 4, 1);
  CHECK(padded.shape() == Shape{2, 4, 4, 3});
  CHECK(padded[(1 * 4 + 1) * 3] == 9);
  CHECK(padded[(1 * 4 + 2) * 3 + 2] == 9);
  CHECK(padded[(1 * 4 + 3) * 3] == 1);
  CHECK(padded[(2 * 4 + 1) * 3] == 1);
  CHECK(padded[48 + (1 * 4 + 1) * 3] == 9);
  CHECK(data::pad(pixels, 1, 2).data() == pixels.data());
  CHECK_THROWS_AS(data::pad(pixels, 1, 1), ShapeError);
}
