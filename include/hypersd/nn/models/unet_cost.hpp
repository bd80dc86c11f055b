// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <hypersd/nn/models/unet_config.hpp>
#include <vector>

namespace hypersd::nn {

namespace detail {

/// Multiply-adds of the parts of a UNet, by the shapes of their matmuls, convolutions and attention.
struct UnetCost {
  const UnetConfig& config;
  std::int64_t tokens;
  std::int64_t sum = 0;

  void convolution(std::int64_t in, std::int64_t out, std::int64_t positions, std::int64_t side = 3) {
    sum += in * out * side * side * positions;
  }
  void resnet(std::int64_t in, std::int64_t out, std::int64_t positions) {
    convolution(in, out, positions);
    convolution(out, out, positions);
    sum += config.embedding_dim() * out;
    if (in != out) convolution(in, out, positions, 1);
  }
  void transformer(std::size_t level, std::int64_t positions) {
    const std::int64_t c = config.block_out_channels[level], context = config.cross_attention_dim;
    sum += 2 * c * c * positions;  // projections in and out
    for (std::int64_t i = 0; i < config.transformer_layers[level]; ++i) {
      sum += 4 * c * c * positions + 2 * c * positions * positions;
      if (context > 0) sum += 2 * c * c * positions + 2 * c * context * tokens + 2 * c * positions * tokens;
      sum += 12 * c * c * positions;  // gated, four times as wide
    }
  }
  void embedding(std::int64_t in) { sum += (in + config.embedding_dim()) * config.embedding_dim(); }
};

}  // namespace detail

/// Multiply-adds of one evaluation of a UNet on one sample of height x width with `tokens` tokens of text: matmuls,
/// convolutions and attention, as PyTorch's FlopCounterMode counts them (twice this number). Adapters at run time, the
/// guidance weight's input and ControlNets are left out.
inline std::int64_t multiply_adds(const UnetConfig& c, std::int64_t height, std::int64_t width, std::int64_t tokens) {
  c.validate();
  detail::UnetCost cost{c, tokens};
  const auto& channels = c.block_out_channels;
  std::vector<std::int64_t> positions;  // of each level
  for (std::size_t i = 0; i < c.levels(); ++i, height = (height + 1) / 2, width = (width + 1) / 2)
    positions.push_back(height * width);
  const std::size_t last = c.levels() - 1;

  cost.embedding(channels[0]);
  if (c.addition_embedding_dim > 0) cost.embedding(c.addition_embedding_dim);
  cost.convolution(c.in_channels, channels[0], positions[0]);
  for (std::size_t i = 0; i <= last; ++i) {
    for (std::int64_t j = 0; j < c.layers_per_block; ++j) {
      cost.resnet(j == 0 && i > 0 ? channels[i - 1] : channels[i], channels[i], positions[i]);
      if (c.down_attention[i]) cost.transformer(i, positions[i]);
    }
    if (i < last) cost.convolution(channels[i], channels[i], positions[i + 1]);
  }
  cost.resnet(channels[last], channels[last], positions[last]);
  if (c.mid_attention) cost.transformer(last, positions[last]);
  cost.resnet(channels[last], channels[last], positions[last]);
  auto skips = c.skip_channels();
  for (std::size_t i = c.levels(); i-- > 0;) {
    for (std::int64_t j = 0; j <= c.layers_per_block; ++j, skips.pop_back()) {
      const std::int64_t before = channels[j > 0 || i == last ? i : i + 1];
      cost.resnet(before + skips.back(), channels[i], positions[i]);
      if (c.attention_up(i)) cost.transformer(i, positions[i]);
    }
    if (i > 0) cost.convolution(channels[i], channels[i], positions[i - 1]);
  }
  cost.convolution(channels[0], c.out_channels, positions[0]);
  return cost.sum;
}

}  // namespace hypersd::nn
