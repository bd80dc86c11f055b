// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/philox.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::data {

/// Random changes that keep an image's class.
struct AugmentOptions {
  bool flip = true;    ///< mirror left and right with probability 1/2
  int shift = 2;       ///< largest shift in pixels, in each direction
  float fill = -1.0F;  ///< value of pixels shifted in
};

/// A changed copy of `images` [B, H, W, C]. Image b depends on (`random`, `first` + b) alone: give each
/// training step a stream of its own, e.g. `stream(seed, "augment", step)`. Throws ShapeError, or
/// OptionError for a negative shift.
inline Tensor<float> augment(const Tensor<float>& images, Stream random, const AugmentOptions& options = {},
                             std::int64_t first = 0) {
  require<ShapeError>(images.rank() == 4, "augment: shape ", images.shape(), " is not [B, H, W, C]");
  require<OptionError>(options.shift >= 0 && options.shift <= 1 << 20, "augment: shift ", options.shift);
  const std::int64_t h = images.dim(1), w = images.dim(2), c = images.dim(3);
  Tensor<float> out(images.shape());
  for (std::int64_t b = 0; b < images.dim(0); ++b) {
    const auto draw = static_cast<std::uint64_t>(first + b) * 3;
    const bool flip = options.flip && (bits_at(random, draw) & 1U) != 0;
    const std::int64_t dy = integer_at(random, draw + 1, 2 * options.shift + 1) - options.shift;
    const std::int64_t dx = integer_at(random, draw + 2, 2 * options.shift + 1) - options.shift;
    const float* from = images.data() + b * h * w * c;
    float* to = out.data() + b * h * w * c;
    for (std::int64_t y = 0; y < h; ++y) {
      for (std::int64_t x = 0; x < w; ++x, to += c) {
        const std::int64_t v = y - dy, u = (flip ? w - 1 - x : x) - dx;
        if (v >= 0 && v < h && u >= 0 && u < w) {
          std::copy_n(from + (v * w + u) * c, c, to);
        } else {
          std::fill_n(to, c, options.fill);
        }
      }
    }
  }
  return out;
}

}  // namespace hypersd::data
