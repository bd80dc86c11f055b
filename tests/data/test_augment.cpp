// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/augment.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace hypersd;

namespace {

/// Pictures of 7 x 7 with one bright pixel left of the middle.
Tensor<float> points(std::int64_t count, std::int64_t channels) {
  auto out = Tensor<float>::full({count, 7, 7, channels}, -1.0F);
  for (std::int64_t b = 0; b < count; ++b)
    for (std::int64_t c = 0; c < channels; ++c) out[((b * 7 + 3) * 7 + 2) * channels + c] = 1.0F;
  return out;
}

}  // namespace

TEST_CASE("all flips and shifts occur, equally often") {
  const auto images = points(5000, 1);
  const auto changed = data::augment(images, stream(1, "augment"));
  std::map<std::int64_t, int> places;
  for (std::int64_t b = 0; b < 5000; ++b)
    for (std::int64_t i = 0; i < 49; ++i)
      if (changed[b * 49 + i] == 1.0F) ++places[i];
  // 5 rows; columns 0 to 4 from pictures as they are, 2 to 6 from flipped ones.
  CHECK(places.size() == 35);
  int total = 0;
  for (const auto& [place, count] : places) {
    const std::int64_t x = place % 7;
    const double expected = 5000.0 / 50 * (x >= 2 && x <= 4 ? 2 : 1);
    CHECK(count == doctest::Approx(expected).epsilon(0.5));
    total += count;
  }
  CHECK(total == 5000);
}

TEST_CASE("pictures depend on their stream and place alone") {
  const auto images = points(10, 3);
  const auto whole = data::augment(images, stream(1, "a", 5)),
             part = data::augment(images.slice(0, 4), stream(1, "a", 5));
  for (std::int64_t i = 0; i < part.size(); ++i) CHECK(part[i] == whole[i]);
  CHECK(data::augment(images, stream(1, "a", 6)).to_vector() != whole.to_vector());
}

TEST_CASE("switched off, filled, refused") {
  const auto images = points(6, 3);
  CHECK(data::augment(images, stream(1, "a"), {.flip = false, .shift = 0}).to_vector() == images.to_vector());
  const auto filled = data::augment(images, stream(1, "a"), {.flip = false, .shift = 6, .fill = 0.5F});
  CHECK(std::count(filled.span().begin(), filled.span().end(), 0.5F) > 0);
  CHECK_THROWS_AS(data::augment(images, stream(1, "a"), {.shift = -1}), OptionError);
  CHECK_THROWS_AS(data::augment(images.reshape({6, 49, 3}), stream(1, "a")), ShapeError);
}
