// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error.hpp>
#include <vector>

namespace hypersd::nn {

/// Sizes of a text-conditioned UNet as in Stable Diffusion. Lists have one entry per level, finest first.
struct UnetConfig {
  std::int64_t in_channels = 4, out_channels = 4;        ///< channels of samples and of predictions
  std::vector<std::int64_t> block_out_channels{32, 64};  ///< width of each level; each but the first halves the size
  std::vector<bool> down_attention{true, true};          ///< whether a level of the down path has transformers
  std::vector<bool> up_attention{};       ///< the same for the up path, finest level first; empty: as down
  bool mid_attention = true;              ///< whether the middle block has transformers
  std::int64_t layers_per_block = 1;      ///< resnets per level of the down path; one more in the up path
  std::vector<std::int64_t> heads{4, 4};  ///< number of heads (`attention_head_dim` in configuration files of SD)
  std::vector<std::int64_t> transformer_layers{1, 1};  ///< transformer blocks after each resnet
  std::int64_t cross_attention_dim = 64;               ///< width of the text tokens, 0: no cross-attention
  bool use_linear_projection = false;       ///< projections of transformers: linear (SDXL) or 1x1 convolution (SD 1.x)
  std::int64_t norm_num_groups = 8;         ///< groups of every group norm, a divisor of all widths
  double norm_eps = 1e-5;                   ///< epsilon of group norms, except those of transformers (1e-6)
  std::int64_t time_embedding_dim = 0;      ///< 0: four times the width of the first level
  std::int64_t time_cond_proj_dim = 0;      ///< features of the guidance weight (LCM: 256), 0: no such input
  std::int64_t addition_embedding_dim = 0;  ///< width of the pooled text and size features, 0: none
  std::int64_t addition_time_embed_dim = 256;  ///< sinusoidal features for each of the six size numbers
  bool flip_sin_to_cos = true;                 ///< cosines first
  double freq_shift = 0;                       ///< of the sinusoidal features, see `SinusoidalFeatures`
  /// Gradient checkpointing: training keeps the output of each resnet and transformer only, and computes what is inside
  /// once more in the backward pass. Predictions are the same to the bit, gradients up to the order of sums.
  bool checkpoint_layers = false;

  /// Number of levels.
  [[nodiscard]] std::size_t levels() const { return block_out_channels.size(); }
  /// Width of the time embedding.
  [[nodiscard]] std::int64_t embedding_dim() const {
    return time_embedding_dim > 0 ? time_embedding_dim : 4 * block_out_channels[0];
  }
  /// Channels of the skip connections, in the order of the encoder.
  [[nodiscard]] std::vector<std::int64_t> skip_channels() const {
    std::vector<std::int64_t> channels{block_out_channels[0]};
    for (std::size_t i = 0; i < levels(); ++i)
      channels.insert(channels.end(), static_cast<std::size_t>(layers_per_block + (i + 1 < levels() ? 1 : 0)),
                      block_out_channels[i]);
    return channels;
  }
  /// Whether a level of the up path has transformers.
  [[nodiscard]] bool attention_up(std::size_t level) const {
    return up_attention.empty() ? down_attention[level] : up_attention[level];
  }
  /// Throws OptionError naming the first inconsistent setting.
  void validate() const {
    const std::size_t n = levels();
    require<OptionError>(n > 0, "UnetConfig: no levels");
    const auto fits = [n](std::size_t size, const char* what) {
      require<OptionError>(size == n, "UnetConfig: ", what, " has ", size, " entries for ", n, " levels");
    };
    fits(down_attention.size(), "down_attention");
    if (!up_attention.empty()) fits(up_attention.size(), "up_attention");
    fits(heads.size(), "heads");
    fits(transformer_layers.size(), "transformer_layers");
    for (const std::int64_t c : block_out_channels)
      require<OptionError>(c > 0 && norm_num_groups > 0 && c % norm_num_groups == 0, "UnetConfig: ", norm_num_groups,
                           " norm groups do not divide ", c, " channels");
    require<OptionError>(in_channels > 0 && out_channels > 0 && layers_per_block > 0 && cross_attention_dim >= 0,
                         "UnetConfig: in_channels, out_channels and layers_per_block must be positive");
    require<OptionError>(time_cond_proj_dim == 0 || time_cond_proj_dim >= 4,
                         "UnetConfig: time_cond_proj_dim = ", time_cond_proj_dim, " is neither 0 nor at least 4");
  }

  /// Stable Diffusion 1.5: 859,520,964 parameters.
  static UnetConfig sd15() {
    UnetConfig c;
    c.block_out_channels = {320, 640, 1280, 1280};
    c.down_attention = {true, true, true, false};
    c.layers_per_block = 2;
    c.heads = {8, 8, 8, 8};
    c.transformer_layers = {1, 1, 1, 1};
    c.cross_attention_dim = 768;
    c.norm_num_groups = 32;
    return c;
  }
  /// Stable Diffusion XL base: 2,567,463,684 parameters.
  static UnetConfig sdxl() {
    UnetConfig c;
    c.block_out_channels = {320, 640, 1280};
    c.down_attention = {false, true, true};
    c.layers_per_block = 2;
    c.heads = {5, 10, 20};
    c.transformer_layers = {1, 2, 10};
    c.cross_attention_dim = 2048;
    c.use_linear_projection = true;
    c.norm_num_groups = 32;
    c.addition_embedding_dim = 2816;
    return c;
  }
  /// A small UNet for 8 x 8 x 4 latents of 32 x 32 images, which trains in minutes on a CPU.
  static UnetConfig fashion() { return {}; }
};

}  // namespace hypersd::nn
