// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/resize.hpp>

#include <doctest/doctest.h>

#include <hypersd/io/safetensors.hpp>

using namespace hypersd;

TEST_CASE("resizing gives Pillow's bytes") {
  const io::SafetensorsFile file(std::string(HYPERSD_TEST_DATA) + "/resize.safetensors");
  const auto bytes = file.get<float>("image");
  io::Image image(17, 13, 3);
  std::transform(bytes.span().begin(), bytes.span().end(), image.pixels.begin(),
                 [](float v) { return static_cast<std::uint8_t>(v); });
  int compared = 0;
  for (const std::string& name : file.names()) {
    if (name == "image") continue;
    const auto want = file.get<float>(name);
    const auto got = data::resize_lanczos(image, static_cast<int>(want.dim(1)), static_cast<int>(want.dim(0))).pixels;
    CAPTURE(name);
    CHECK(std::vector<float>(got.begin(), got.end()) == want.to_vector());
    ++compared;
  }
  CHECK(compared == 6);
  CHECK(data::resize_lanczos(image, 17, 13).pixels == image.pixels);
  CHECK_THROWS_AS(data::resize_lanczos(image, 0, 3), ShapeError);
}
