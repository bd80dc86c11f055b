// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/unet.hpp>

namespace hypersd::nn {

/// Sizes of a ControlNet: those of its UNet and of the network that embeds the control image.
struct ControlNetConfig {
  UnetConfig unet;                                                ///< of the UNet that is controlled
  std::int64_t conditioning_channels = 3;                         ///< channels of the control image
  std::vector<std::int64_t> embedding_channels{16, 32, 96, 256};  ///< widths; each but the first halves the size
};

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
    for (const std::int64_t channels : encoder.skip_channels())
      controlnet_down_blocks.push_back(zero_conv<T, D>(channels, channels));
    const std::int64_t last = c.unet.block_out_channels.back();
    controlnet_mid_block = zero_conv<T, D>(last, last);
  }
  /// Residuals for `Unet` at x [B, H, W, C], t [B]; `picture` [B, sH, sW, conditioning_channels] in [0, 1], where s is
  /// the total stride of the embedding (8 by default). All residuals are multiplied by `scale`.
  ControlResiduals<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const UnetCondition<T, D>& condition,
                                    const Var<T, D>& picture, double scale = 1) const {
    const auto e = encoder(x, t, condition, controlnet_cond_embedding(picture));
    const auto outlet = [scale](const Conv2d<T, D>& conv, const Var<T, D>& h) {
      const auto y = conv(h);
      return scale == 1 ? y : autograd::affine(y, static_cast<Accumulator<T>>(scale));
    };
    ControlResiduals<T, D> out;
    for (std::size_t i = 0; i < e.skips.size(); ++i) out.skips.push_back(outlet(controlnet_down_blocks[i], e.skips[i]));
    out.mid = outlet(controlnet_mid_block, e.h);
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
