// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/nn/models/pixart_config.hpp>

namespace hypersd::nn {

/// Multiply-adds of one evaluation of a `PixArt` on one sample of height x width with `tokens` tokens of text: matmuls,
/// the convolution of patches and attention, as PyTorch's FlopCounterMode counts them (twice this number). Adapters at
/// run time are left out. Throws as `PixArtConfig::validate`.
inline std::int64_t multiply_adds(const PixArtConfig& c, std::int64_t height, std::int64_t width, std::int64_t tokens) {
  PixArtConfig one = c;
  one.out_channels = one.in_channels;  // a `PolicyNetwork` has more predictions than a config allows
  one.validate();
  const std::int64_t n = (height / c.patch_size) * (width / c.patch_size), patch = c.patch_size * c.patch_size;
  const std::int64_t w = c.channels(), context = c.caption_projection ? w : c.text_channels;
  const auto embedding = [](std::int64_t out) { return (PixArtConfig::time_features + out) * out; };

  std::int64_t sum = embedding(w) + 6 * w * w;  // of the time, and the vectors of all blocks
  if (c.size_conditions) sum += 3 * embedding(w / 3);
  if (c.caption_projection) sum += (c.text_channels + w) * w * tokens;
  const std::int64_t within = 4 * w * w * n + 2 * w * n * n;  // attention: projections, then scores and values
  const std::int64_t across = 2 * w * w * n + 2 * w * context * tokens + 2 * w * n * tokens;
  sum += c.layers * (within + across + 8 * w * w * n);
  return sum + (c.in_channels + c.out_channels) * patch * w * n;
}

}  // namespace hypersd::nn
