// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/nn/models/unet.hpp>

namespace hypersd::nn {

/// Sizes of a ControlNet: those of its UNet and of the network that embeds the control image.
struct ControlNetConfig {
  UnetConfig unet;                                                ///< of the UNet that is controlled
  std::int64_t conditioning_channels = 3;                         ///< channels of the control image
  std::vector<std::int64_t> embedding_channels{16, 32, 96, 256};  ///< widths; each but the first halves the size
};

/// How strong the residuals of a ControlNet are: `scale` for all; in guess mode (Zhang et al., "ControlNet",
/// section 3.4; control without a prompt) 10^(-1 ... 0) times that, from the finest skip connection to the middle
/// block.
struct ControlStrength {
  double scale = 1;
  bool guess = false;

  ControlStrength(double s = 1, bool guess_mode = false)  // NOLINT(google-explicit-constructor): a scale is a strength
      : scale(s), guess(guess_mode) {}
  /// The factor of residual i of n, the middle block's last.
  [[nodiscard]] double of(std::size_t i, std::size_t n) const {
    if (!guess || n < 2) return scale;
    return scale * std::pow(10.0, static_cast<double>(i) / static_cast<double>(n - 1) - 1);
  }
};

/// a + b, residual by residual: the residuals of several ControlNets add up. Throws ShapeError.
template <class T, class D>
ControlResiduals<T, D> add_residuals(const ControlResiduals<T, D>& a, const ControlResiduals<T, D>& b) {
  require<ShapeError>(a.skips.size() == b.skips.size(), "control residuals: ", a.skips.size(), " and ", b.skips.size(),
                      " skip connections");
  ControlResiduals<T, D> out;
  for (std::size_t i = 0; i < a.skips.size(); ++i) out.skips.push_back(autograd::add(a.skips[i], b.skips[i]));
  if (a.mid.defined() && b.mid.defined()) out.mid = autograd::add(a.mid, b.mid);
  return out;
}

/// Convolutions that map a control image to the size and width of the UNet's first features. The last one starts at
/// zero.
template <Scalar T, Device D = Cpu>
struct ControlEmbedding {
  using value_type = T;
  using device_type = D;

  Conv2d<T, D> conv_in;
  std::vector<Conv2d<T, D>> blocks;
  Conv2d<T, D> conv_out;

  ControlEmbedding() = default;
  explicit ControlEmbedding(const ControlNetConfig& c) {
    const auto& width = c.embedding_channels;
    require<OptionError>(!width.empty(), "ControlNetConfig: no embedding_channels");
    conv_in = {c.conditioning_channels, width[0]};
    for (std::size_t i = 0; i + 1 < width.size(); ++i) {
      blocks.emplace_back(width[i], width[i]);
      blocks.emplace_back(width[i], width[i + 1], 3, 2);
    }
    conv_out = zero_conv<T, D>(width.back(), c.unet.block_out_channels[0], 3);
  }
  Var<T, D> operator()(const Var<T, D>& picture) const {
    auto h = autograd::silu(conv_in(picture));
    for (const auto& block : blocks) h = autograd::silu(block(h));
    return conv_out(h);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv_in", conv_in, "blocks", blocks, "conv_out", conv_out);
  }
};

/// ControlNet (Zhang et al., arXiv 2302.05543): a copy of the UNet's encoder that takes a control image and gives
/// residuals for the UNet's skip connections. Parameter names are those of ControlNetModel of diffusers.
template <Scalar T, Device D = Cpu>
struct ControlNet {
  using value_type = T;
  using device_type = D;

  UnetEncoder<T, D> encoder;
  ControlEmbedding<T, D> controlnet_cond_embedding;
  std::vector<Conv2d<T, D>> controlnet_down_blocks;
  Conv2d<T, D> controlnet_mid_block;

  ControlNet() = default;
  explicit ControlNet(const ControlNetConfig& c) : encoder(c.unet), controlnet_cond_embedding(c) {
    for (const std::int64_t channels : encoder.config.skip_channels())
      controlnet_down_blocks.push_back(zero_conv<T, D>(channels, channels));
    const std::int64_t last = c.unet.block_out_channels.back();
    controlnet_mid_block = zero_conv<T, D>(last, last);
  }
  /// Residuals for `Unet` at x [B, H, W, C], t [B]; `picture` [B, sH, sW, conditioning_channels] in [0, 1], where s is
  /// the total stride of the embedding (8 by default). Residuals are multiplied by `strength`, a number in most cases.
  ControlResiduals<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const UnetCondition<T, D>& condition,
                                    const Var<T, D>& picture, ControlStrength strength = {}) const {
    return from_features(x, t, condition, controlnet_cond_embedding(picture), strength);
  }
  /// The same from the features of the control image, `controlnet_cond_embedding(picture)`, which stay the same over
  /// the steps of a run.
  ControlResiduals<T, D> from_features(const Var<T, D>& x, const Times<T, D>& t, const UnetCondition<T, D>& condition,
                                       const Var<T, D>& features, ControlStrength strength = {}) const {
    const auto e = encoder(x, t, condition, features);
    const std::size_t n = e.skips.size() + 1;
    const auto outlet = [&](const Conv2d<T, D>& conv, const Var<T, D>& h, std::size_t i) {
      const auto y = conv(h);
      const double factor = strength.of(i, n);
      return factor == 1 ? y : autograd::affine(y, static_cast<Accumulator<T>>(factor));
    };
    ControlResiduals<T, D> out;
    for (std::size_t i = 0; i + 1 < n; ++i) out.skips.push_back(outlet(controlnet_down_blocks[i], e.skips[i], i));
    out.mid = outlet(controlnet_mid_block, e.h, n - 1);
    return out;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    encoder.visit(f, prefix);
    visit_members(f, prefix, "controlnet_cond_embedding", controlnet_cond_embedding, "controlnet_down_blocks",
                  controlnet_down_blocks, "controlnet_mid_block", controlnet_mid_block);
  }
};

}  // namespace hypersd::nn
