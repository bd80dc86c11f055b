// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/transformer_config.hpp>

namespace hypersd::nn {

/// Sizes of a class-conditional diffusion transformer. The width is heads times head_dim.
struct DitConfig {
  static constexpr std::int64_t time_features = 256;  ///< sinusoidal features of the time

  std::int64_t in_channels = 4;           ///< channels of samples
  std::int64_t out_channels = 4;          ///< the same, or twice as many: the second half parameterizes the variance
  std::int64_t heads = 4, head_dim = 64;  ///< attention heads and their width
  std::int64_t layers = 8;                ///< blocks
  std::int64_t sample_size = 8;           ///< height and width of the samples of the training
  std::int64_t patch_size = 2;            ///< height and width of a patch
  std::int64_t classes = 10;              ///< number of classes; one more row of the table stands for no class
  double norm_eps = 1e-5;                 ///< epsilon of the norms before feed-forward layers, 1e-6 in all others
  double freq_shift = 1;                  ///< of the sinusoidal features: diffusers has 1, the reference code 0
  bool attention_bias = true;             ///< biases of queries, keys and values
  bool qk_norm = false;                   ///< RMS norms of the queries and keys of each head
  bool rms_norm = false;                  ///< RMS norms in place of layer norms
  std::vector<std::int64_t> feature_blocks{};  ///< blocks whose results are features; empty: the last of each third
  /// Gradient checkpointing: training keeps the output of each block only, and computes what is inside once more in the
  /// backward pass.
  bool checkpoint_layers = false;

  /// Width of the tokens.
  [[nodiscard]] std::int64_t channels() const { return heads * head_dim; }
  /// Sizes of the patch embedding.
  [[nodiscard]] PatchOptions patches() const { return {in_channels, channels(), sample_size, patch_size}; }
  /// The blocks after which features are taken.
  [[nodiscard]] std::vector<std::int64_t> taps() const { return detail::transformer_taps(feature_blocks, layers); }
  /// Throws OptionError naming the first inconsistent setting.
  void validate() const {
    detail::validate_transformer(*this, "DitConfig");
    require<OptionError>(classes >= 1, "DitConfig: classes = ", classes, ", at least 1 needed");
    require<OptionError>(freq_shift < time_features / 2, "DitConfig: freq_shift = ", freq_shift);
  }

  /// DiT-XL/2 for images of 256 x 256 (latents of 32 x 32), with learned variance: 28 blocks of width 1152.
  static DitConfig xl2() {
    DitConfig c;
    c.out_channels = 8;
    c.heads = 16;
    c.head_dim = 72;
    c.layers = 28;
    c.sample_size = 32;
    c.classes = 1000;
    return c;
  }
};

}  // namespace hypersd::nn
