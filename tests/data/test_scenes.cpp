// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/scenes.hpp>

#include <doctest/doctest.h>

using namespace hypersd;

namespace {

/// White squares of 8 x 8 in the middle of 16 x 16 pictures, two classes by brightness.
data::ImageSet squares() {
  auto pixels = Tensor<std::uint8_t>::zeros({4, 16, 16, 1});
  Tensor<std::int32_t> labels(Shape{4});
  for (std::int64_t n = 0; n < 4; ++n) {
    labels[n] = static_cast<std::int32_t>(n % 2);
    for (std::int64_t y = 4; y < 12; ++y)
      for (std::int64_t x = 4; x < 12; ++x)
        pixels[(n * 16 + y) * 16 + x] = static_cast<std::uint8_t>(n % 2 ? 255 : 120);
  }
  return {pixels, labels, 2};
}

}  // namespace

TEST_CASE("masks are exactly the pixels in which an object is seen") {
  const auto scenes = data::compose_scenes(squares(), 50, stream(1, "scenes"));
  std::int64_t covered = 0;
  for (std::int64_t n = 0; n < 50; ++n) {
    const auto& objects = scenes.objects[static_cast<std::size_t>(n)];
    CHECK(objects.size() >= 1);
    CHECK(objects.size() <= 3);
    for (std::int64_t i = 0; i < 256; ++i) {
      int owners = 0, label = -1;
      for (const auto& o : objects)
        if (o.mask[i] != 0) ++owners, label = o.label;
      const float v = scenes.images[n * 256 + i];
      CHECK(owners == (v > -0.8F ? 1 : 0));
      if (owners == 1 && v > 0.5F) CHECK(label == 1);  // no pixel of the darker class is so bright
    }
    for (std::size_t i = 0; i + 1 < objects.size(); ++i) {
      std::int64_t area = 0;
      for (const auto v : objects[i].mask.span()) area += v;
      covered += area < 16 ? 1 : 0;
    }
  }
  CHECK(covered > 0);  // later objects do hide earlier ones
}

TEST_CASE("scenes depend on the stream alone; bad options are refused") {
  const auto all = data::compose_scenes(squares(), 8, stream(1, "scenes")),
             few = data::compose_scenes(squares(), 3, stream(1, "scenes"));
  CHECK(all.images.slice(0, 3).to_vector() == few.images.to_vector());
  CHECK(all.images.to_vector() != data::compose_scenes(squares(), 8, stream(2, "scenes")).images.to_vector());
  CHECK_THROWS_AS(data::compose_scenes(squares(), 1, stream(1, "s"), {.most = 0}), OptionError);
  CHECK_THROWS_AS(data::compose_scenes(squares(), 1, stream(1, "s"), {.smallest = 0.9, .largest = 0.5}), OptionError);
}
