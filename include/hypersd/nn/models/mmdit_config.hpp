// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/nn/models/transformer_config.hpp>

namespace hypersd::nn {

/// Sizes of a text-conditional diffusion transformer with joint attention. The width is heads times head_dim.
struct MmDitConfig {
  static constexpr std::int64_t time_features = 256;  ///< sinusoidal features of the time

  std::int64_t in_channels = 4, out_channels = 4;  ///< channels of samples and of predictions, the same
  std::int64_t heads = 4, head_dim = 64;           ///< attention heads and their width
  std::int64_t layers = 8;                         ///< blocks
  std::int64_t sample_size = 8;                    ///< height and width of the samples of the training
  std::int64_t patch_size = 2;                     ///< height and width of a patch
  std::int64_t pos_embed_max_size = 16;  ///< patches along an axis of the table of positions, the largest sample
  std::int64_t text_channels = 64;       ///< width of the text tokens (`joint_attention_dim`)
  std::int64_t pooled_channels = 64;     ///< width of the pooled text (`pooled_projection_dim`)
  bool qk_norm = false;                  ///< RMS norms of the queries and keys of each head
  std::vector<std::int64_t> dual_attention_layers{};  ///< blocks with a second attention, of the image alone (SD3.5)
  std::vector<std::int64_t> feature_blocks{};  ///< blocks whose results are features; empty: the last of each third
  bool checkpoint_layers = false;              ///< gradient checkpointing, see `DitConfig`

  /// Width of the tokens.
  [[nodiscard]] std::int64_t channels() const { return heads * head_dim; }
  /// Sizes of the patch embedding.
  [[nodiscard]] PatchOptions patches() const {
    return {in_channels, channels(), sample_size, patch_size, 1, pos_embed_max_size};
  }
  /// The blocks after which features are taken.
  [[nodiscard]] std::vector<std::int64_t> taps() const { return detail::transformer_taps(feature_blocks, layers); }
  /// Whether a block has a second attention.
  [[nodiscard]] bool dual_attention(std::int64_t block) const {
    return std::find(dual_attention_layers.begin(), dual_attention_layers.end(), block) != dual_attention_layers.end();
  }
  /// Throws OptionError naming the first inconsistent setting.
  void validate() const {
    detail::validate_transformer(*this, "MmDitConfig");
    require<OptionError>(out_channels == in_channels, "MmDitConfig: out_channels = ", out_channels, ", ", in_channels,
                         " (in_channels) needed");
    require<OptionError>(pos_embed_max_size >= 1, "MmDitConfig: pos_embed_max_size = ", pos_embed_max_size,
                         ", at least 1 needed");
    require<OptionError>(text_channels >= 1 && pooled_channels >= 1, "MmDitConfig: text_channels = ", text_channels,
                         ", pooled_channels = ", pooled_channels, ", positive numbers needed");
    detail::validate_blocks(dual_attention_layers, layers, "MmDitConfig", "dual_attention_layers");
  }

  /// Stable Diffusion 3 medium: 2,028,328,000 parameters and a table of positions.
  static MmDitConfig sd3_medium() {
    MmDitConfig c;
    c.in_channels = c.out_channels = 16;
    c.heads = c.layers = 24;
    c.sample_size = 128;
    c.pos_embed_max_size = 192;
    c.text_channels = 4096;
    c.pooled_channels = 2048;
    return c;
  }
  /// Stable Diffusion 3.5 medium: 2,243,171,520 parameters and a table of positions.
  static MmDitConfig sd35_medium() {
    auto c = sd3_medium();
    c.pos_embed_max_size = 384;
    c.qk_norm = true;
    for (std::int64_t i = 0; i < 13; ++i) c.dual_attention_layers.push_back(i);
    return c;
  }
};

}  // namespace hypersd::nn
