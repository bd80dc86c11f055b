// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/canny.hpp>

#include <doctest/doctest.h>

#include <hypersd/io/safetensors.hpp>

using namespace hypersd;

TEST_CASE("edges are OpenCV's, pixel by pixel") {
  const io::SafetensorsFile file(std::string(HYPERSD_TEST_DATA) + "/canny.safetensors");
  for (int i = 0; i < 6; ++i) {
    const auto bytes = file.get<float>("image." + std::to_string(i));
    Tensor<float> image(Shape{1, bytes.dim(0), bytes.dim(1), 1});
    for (std::int64_t j = 0; j < image.size(); ++j) image[j] = bytes[j] / 127.5F - 1;
    for (const auto& [low, high] : {std::pair{100, 200}, {50, 150}, {20, 60}}) {
      const auto expected =
          file.get<std::int64_t>("edges." + std::to_string(i) + "." + std::to_string(low) + "." + std::to_string(high));
      const auto edges = data::canny(image, {low, high});
      std::int64_t wrong = 0;
      for (std::int64_t j = 0; j < image.size(); ++j) wrong += edges[j] != static_cast<float>(expected[j]);
      CAPTURE(i);
      CAPTURE(low);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("edges of a colour picture are OpenCV's") {
  const io::SafetensorsFile file(std::string(HYPERSD_TEST_DATA) + "/canny.safetensors");
  const auto bytes = file.get<float>("image.colour");
  Tensor<float> image(Shape{1, bytes.dim(0), bytes.dim(1), 3});
  for (std::int64_t j = 0; j < image.size(); ++j) image[j] = bytes[j] / 127.5F - 1;
  for (const auto& [low, high] : {std::pair{100, 200}, {50, 150}, {20, 60}}) {
    const auto expected = file.get<std::int64_t>("edges.colour." + std::to_string(low) + "." + std::to_string(high));
    const auto edges = data::canny(image, {low, high});
    CHECK(edges.shape() == Shape{1, bytes.dim(0), bytes.dim(1), 1});
    std::int64_t wrong = 0, some = 0;
    for (std::int64_t j = 0; j < expected.size(); ++j) {
      wrong += edges[j] != static_cast<float>(expected[j]);
      some += expected[j];
    }
    CAPTURE(low);
    CHECK(wrong == 0);
    CHECK(some > 0);
  }
}

TEST_CASE("a flat picture has no edges, a batch is its pictures, bad input is refused") {
  CHECK(data::canny(Tensor<float>::full({1, 8, 8, 1}, 0.5F)).to_vector() == std::vector<float>(64, 0.0F));
  auto two = Tensor<float>::full({2, 8, 8, 1}, -1.0F);
  for (std::int64_t y = 2; y < 6; ++y)
    for (std::int64_t x = 2; x < 6; ++x) two[64 + y * 8 + x] = 1.0F;
  const auto edges = data::canny(two);
  CHECK(edges.slice(0, 1).to_vector() == std::vector<float>(64, 0.0F));
  CHECK(edges.slice(1, 2).to_vector() == data::canny(two.slice(1, 2)).to_vector());
  CHECK(edges[64 + 2 * 8 + 4] + edges[64 + 8 + 4] == 1.0F);  // the upper side, once
  CHECK_THROWS_AS(data::canny(Tensor<float>(Shape{1, 8, 8, 2})), ShapeError);
  CHECK_THROWS_AS(data::canny(two, {200, 100}), OptionError);
}
