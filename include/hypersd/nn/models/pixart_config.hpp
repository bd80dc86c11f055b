// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/transformer_config.hpp>

namespace hypersd::nn {

/// Sizes of a text-conditional diffusion transformer with cross-attention. The width is heads times head_dim.
struct PixArtConfig {
  static constexpr std::int64_t time_features = 256;  ///< sinusoidal features of the time and of each size number

  std::int64_t in_channels = 4;           ///< channels of samples
  std::int64_t out_channels = 4;          ///< the same, or twice as many: the second half parameterizes the variance
  std::int64_t heads = 4, head_dim = 64;  ///< attention heads and their width
  std::int64_t layers = 8;                ///< blocks
  std::int64_t sample_size = 8;           ///< height and width of the samples of the training
  std::int64_t patch_size = 2;            ///< height and width of a patch
  double interpolation_scale = 1;         ///< positions are divided by it; 2 at 1024 x 1024
  std::int64_t text_channels = 64;        ///< width of the text tokens
  bool caption_projection = true;  ///< a network of two layers projects the tokens to the width; else attention does it
  bool size_conditions = false;    ///< image size and aspect ratio as conditions; needs a width divisible by 3
  double norm_eps = 1e-6;          ///< epsilon of the norms of blocks
  bool attention_bias = true;      ///< biases of queries, keys and values
  bool qk_norm = false;            ///< RMS norms of the queries and keys of each head
  bool rms_norm = false;           ///< RMS norms in place of layer norms
  std::vector<std::int64_t> feature_blocks{};  ///< blocks whose results are features; empty: the last of each third
  bool checkpoint_layers = false;              ///< gradient checkpointing, see `DitConfig`

  /// Width of the tokens.
  [[nodiscard]] std::int64_t channels() const { return heads * head_dim; }
  /// Sizes of the patch embedding.
  [[nodiscard]] PatchOptions patches() const {
    return {in_channels, channels(), sample_size, patch_size, interpolation_scale};
  }
  /// The blocks after which features are taken.
  [[nodiscard]] std::vector<std::int64_t> taps() const { return detail::transformer_taps(feature_blocks, layers); }
  /// Throws OptionError naming the first inconsistent setting.
  void validate() const {
    detail::validate_transformer(*this, "PixArtConfig");
    require<OptionError>(text_channels >= 1, "PixArtConfig: text_channels = ", text_channels, ", at least 1 needed");
    require<OptionError>(!size_conditions || channels() % 3 == 0,
                         "PixArtConfig: size_conditions, but 3 does not divide ", "the width of ", channels(),
                         " channels");
  }

  /// PixArt-alpha at 1024 x 1024, with learned variance: 611,349,152 parameters.
  static PixArtConfig xl2_1024() {
    PixArtConfig c;
    c.out_channels = 8;
    c.heads = 16;
    c.head_dim = 72;
    c.layers = 28;
    c.sample_size = 128;
    c.interpolation_scale = 2;
    c.text_channels = 4096;
    c.size_conditions = true;
    return c;
  }
};

}  // namespace hypersd::nn
