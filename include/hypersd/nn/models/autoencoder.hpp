// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/resnet.hpp>

namespace hypersd::nn {

/// Sizes of an AutoencoderKL.
struct AutoencoderConfig {
  std::int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<std::int64_t> block_out_channels = {128, 256, 512, 512};
  std::int64_t layers_per_block = 2;  ///< of the encoder; the decoder has one more
  std::int64_t norm_num_groups = 32;
  bool mid_attention = true;
};

/// The embedded default: 32x32x1 images, 8x8x4 latents.
inline AutoencoderConfig small_autoencoder() { return {1, 1, 4, {16, 32, 64}, 1, 8, false}; }

/// Single-head self-attention over all positions, as in the middle of Stable Diffusion's autoencoder.
template <class T, class D = Cpu>
struct PositionAttention {
  using value_type = T;
  using device_type = D;
  GroupNorm<T, D> group_norm;
  Linear<T, D> to_q, to_k, to_v, to_out;
  PositionAttention() = default;
  PositionAttention(std::int64_t c, std::int64_t groups)
      : group_norm(c, groups, 1e-6), to_q(c, c), to_k(c, c), to_v(c, c), to_out(c, c) {}
  Var<T, D> operator()(const Var<T, D>& x) const {
    const auto h = autograd::reshape(group_norm(x), Shape{x.dim(0), x.dim(1) * x.dim(2), x.dim(3)});
    const auto y = to_out(autograd::attention(to_q(h), to_k(h), to_v(h), 1));
    return autograd::add(autograd::reshape(y, x.shape()), x);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    group_norm.visit(f, join(prefix, "group_norm"));
    visit_layers([&](const std::string& path, auto& layer) { layer.visit(f, path); }, prefix);
  }
  template <class F>
  void visit_layers(F&& f, const std::string& prefix) {
    f(join(prefix, "to_q"), to_q);
    f(join(prefix, "to_k"), to_k);
    f(join(prefix, "to_v"), to_v);
    f(join(prefix, "to_out.0"), to_out);
  }
};

/// One half of an autoencoder: levels of resnets, a middle, an output. `decoder` goes up, else down.
template <class T, class D = Cpu>
struct AutoencoderHalf {
  using value_type = T;
  using device_type = D;
  bool decoder = false;
  Conv2d<T, D> conv_in, conv_out;
  std::vector<std::vector<ResnetBlock<T, D>>> levels;
  std::vector<Conv2d<T, D>> resample;  ///< behind every level but the last
  std::vector<ResnetBlock<T, D>> mid;
  std::optional<PositionAttention<T, D>> attention;
  GroupNorm<T, D> conv_norm_out;

  AutoencoderHalf() = default;
  AutoencoderHalf(const AutoencoderConfig& c, bool is_decoder) : decoder(is_decoder) {
    auto width = c.block_out_channels;
    const std::int64_t deep = width.back(), groups = c.norm_num_groups;
    constexpr double eps = 1e-6;
    if (decoder) std::reverse(width.begin(), width.end());
    conv_in = {decoder ? c.latent_channels : c.in_channels, decoder ? deep : width[0]};
    std::int64_t channels = width[0];
    for (std::size_t i = 0; i < width.size(); ++i) {
      levels.emplace_back();
      for (std::int64_t j = 0; j < c.layers_per_block + (decoder ? 1 : 0); ++j) {
        levels.back().emplace_back(channels, width[i], 0, groups, eps);
        channels = width[i];
      }
      // Down: padding at the right and bottom only, as the published weights expect.
      if (i + 1 < width.size())
        resample.push_back(decoder ? Conv2d<T, D>(channels, channels)
                                   : Conv2d<T, D>(channels, channels, 3, ops::Conv2dOptions{2, 0, 1}));
    }
    mid.assign(2, ResnetBlock<T, D>(deep, deep, 0, groups, eps));
    if (c.mid_attention) attention.emplace(deep, groups);
    conv_norm_out = {channels, groups, eps};
    conv_out = {channels, decoder ? c.out_channels : 2 * c.latent_channels};
  }
  Var<T, D> operator()(const Var<T, D>& x) const {
    auto h = conv_in(x);
    if (decoder) h = middle(h);
    for (std::size_t i = 0; i < levels.size(); ++i) {
      for (const auto& block : levels[i]) h = block(h);
      if (i >= resample.size()) continue;
      h = resample[i](decoder ? autograd::upsample_nearest(h, 2 * h.dim(1), 2 * h.dim(2)) : h);
    }
    if (!decoder) h = middle(h);
    return conv_out(conv_norm_out(h, ops::Activation::silu));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    conv_norm_out.visit(f, join(prefix, "conv_norm_out"));
    each([&](const std::string& name, auto& m) { m.visit(f, join(prefix, name)); });
  }
  template <class F>
  void visit_layers(F&& f, const std::string& prefix) {
    each([&](const std::string& name, auto& m) { m.visit_layers(f, join(prefix, name)); });
  }

 private:
  Var<T, D> middle(Var<T, D> h) const {
    h = mid[0](h);
    if (attention) h = (*attention)(h);
    return mid[1](h);
  }
  template <class F>
  void each(F&& f) {
    f("conv_in", conv_in);
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const std::string block = (decoder ? "up_blocks." : "down_blocks.") + std::to_string(i);
      for (std::size_t j = 0; j < levels[i].size(); ++j) f(block + ".resnets." + std::to_string(j), levels[i][j]);
      if (i < resample.size()) f(block + (decoder ? ".upsamplers.0.conv" : ".downsamplers.0.conv"), resample[i]);
    }
    f("mid_block.resnets.0", mid[0]);
    if (attention) f("mid_block.attentions.0", *attention);
    f("mid_block.resnets.1", mid[1]);
    f("conv_out", conv_out);
  }
};

/// The variational autoencoder of Stable Diffusion.
template <class T, class D = Cpu>
struct Autoencoder {
  using value_type = T;
  using device_type = D;
  struct Posterior {
    Var<T, D> mean, logvar;
  };
  AutoencoderConfig config;
  AutoencoderHalf<T, D> encoder, decoder;
  Conv2d<T, D> quant_conv, post_quant_conv;

  Autoencoder() = default;
  explicit Autoencoder(const AutoencoderConfig& c)
      : config(c),
        encoder(c, false),
        decoder(c, true),
        quant_conv(2 * c.latent_channels, 2 * c.latent_channels, 1),
        post_quant_conv(c.latent_channels, c.latent_channels, 1) {}
  /// Images [B, H, W, in] -> latent mean and log-variance, [B, H / f, W / f, latent_channels] each.
  Posterior encode(const Var<T, D>& x) const {
    require<ShapeError>(x.rank() == 4 && x.dim(3) == config.in_channels, "Autoencoder: images ", x.shape(),
                        ", expected [B, H, W, ", config.in_channels, "]");
    const auto moments = quant_conv(encoder(x));
    const std::int64_t c = config.latent_channels;
    return {autograd::slice_channels(moments, 0, c), autograd::slice_channels(moments, c, 2 * c)};
  }
  /// Latents -> images.
  Var<T, D> decode(const Var<T, D>& z) const {
    require<ShapeError>(z.rank() == 4 && z.dim(3) == config.latent_channels, "Autoencoder: latents ", z.shape(),
                        ", expected [B, h, w, ", config.latent_channels, "]");
    return decoder(post_quant_conv(z));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    encoder.visit(f, join(prefix, "encoder"));
    decoder.visit(f, join(prefix, "decoder"));
    quant_conv.visit(f, join(prefix, "quant_conv"));
    post_quant_conv.visit(f, join(prefix, "post_quant_conv"));
  }
  template <class F>
  void visit_layers(F&& f, const std::string& prefix) {
    encoder.visit_layers(f, join(prefix, "encoder"));
    decoder.visit_layers(f, join(prefix, "decoder"));
    f(join(prefix, "quant_conv"), quant_conv);
    f(join(prefix, "post_quant_conv"), post_quant_conv);
  }
};

}  // namespace hypersd::nn
