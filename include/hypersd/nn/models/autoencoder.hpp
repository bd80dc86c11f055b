// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/attention.hpp>
#include <hypersd/nn/resample.hpp>
#include <hypersd/nn/resnet.hpp>

namespace hypersd::nn {

/// Sizes of an autoencoder; the default maps 32 x 32 x 1 to 8 x 8 x 4. Lists have one entry per level, finest first.
struct AutoencoderConfig {
  std::int64_t in_channels = 1, out_channels = 1;  ///< channels of images
  std::int64_t latent_channels = 4;                ///< channels of latents
  /// Width of each level; each but the first halves the size.
  std::vector<std::int64_t> block_out_channels{16, 32, 64};
  std::int64_t layers_per_block = 1;  ///< resnets per level of the encoder
  std::int64_t decoder_layers = 1;    ///< resnets per level of the decoder; 0: one more than in the encoder
  bool mid_block = true;              ///< whether encoder and decoder have a middle block
  bool mid_attention = false;         ///< whether the middle block has self-attention
  std::int64_t norm_num_groups = 8;   ///< groups of every norm, a divisor of all widths
  double norm_eps = 1e-6;             ///< epsilon of every norm
  double scaling_factor = 1;          ///< latents of unit variance are `scaling_factor` times the encoder's mean

  /// The autoencoder of Stable Diffusion 1.x (`scaling_factor` 0.18215) and SDXL (0.13025): 83,653,863 parameters.
  static AutoencoderConfig stable_diffusion(double scaling_factor = 0.18215) {
    return {3, 3, 4, {128, 256, 512, 512}, 2, 0, true, true, 32, 1e-6, scaling_factor};
  }
};

/// Self-attention over positions with norm and residual, one head over all channels.
template <Scalar T, Device D = Cpu>
struct SpatialAttention {
  using value_type = T;
  using device_type = D;

  GroupNorm<T, D> group_norm;
  Attention<T, D> attention;

  SpatialAttention() = default;
  SpatialAttention(std::int64_t channels, std::int64_t groups, double eps)
      : group_norm(groups, channels, eps), attention(channels, 1, 0, true) {}
  /// x [B, H, W, C].
  Var<T, D> operator()(const Var<T, D>& x) const {
    const auto tokens = autograd::reshape(group_norm(x), Shape{x.dim(0), x.dim(1) * x.dim(2), x.dim(3)});
    return autograd::add(x, autograd::reshape(attention(tokens), x.shape()));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "group_norm", group_norm);
    attention.visit(f, prefix);
  }
};

/// resnet, attention, resnet on the coarsest level.
template <Scalar T, Device D = Cpu>
struct AutoencoderMidBlock {
  using value_type = T;
  using device_type = D;

  std::vector<ResnetBlock<T, D>> resnets;
  std::optional<SpatialAttention<T, D>> attention;

  AutoencoderMidBlock() = default;
  AutoencoderMidBlock(const ResnetOptions& o, bool with_attention) : resnets(2, ResnetBlock<T, D>(o)) {
    if (with_attention) attention.emplace(o.out, o.groups, o.eps);
  }
  Var<T, D> operator()(Var<T, D> h) const {
    h = resnets[0](h);
    if (attention) h = (*attention)(h);
    return resnets[1](h);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "resnets", resnets, "attentions.0", attention);
  }
};

/// Resnets of one level, then a change of size by `Resample`, which is `Downsample2d` or `Upsample2d`.
template <Scalar T, Device D, class Resample>
struct AutoencoderBlock {
  using value_type = T;
  using device_type = D;

  std::vector<ResnetBlock<T, D>> resnets;
  std::optional<Resample> resample;

  AutoencoderBlock() = default;
  AutoencoderBlock(ResnetOptions o, std::int64_t layers, std::optional<Resample> change) : resample(std::move(change)) {
    for (std::int64_t i = 0; i < layers; ++i) {
      resnets.emplace_back(o);
      o.in = o.out;
    }
  }
  Var<T, D> operator()(Var<T, D> h) const {
    for (const auto& resnet : resnets) h = resnet(h);
    if (!resample) return h;
    if constexpr (std::same_as<Resample, Upsample2d<T, D>>)
      return (*resample)(h, 2 * h.dim(1), 2 * h.dim(2));
    else
      return (*resample)(h);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    constexpr bool up = std::same_as<Resample, Upsample2d<T, D>>;
    visit_members(f, prefix, "resnets", resnets, up ? "upsamplers.0" : "downsamplers.0", resample);
  }
};

/// Mean and clamped log-variance of a latent.
template <class T, class D>
struct Posterior {
  Var<T, D> mean, logvar;
};

/// x clamped to [low, high]; derivative 0 outside.
struct Clamp {
  double low, high;
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x < T(low) ? T(low) : x > T(high) ? T(high) : x;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x < T(low) || x > T(high) ? T(0) : T(1);
  }
};

/// The encoder (`Resample` = `Downsample2d`) or the decoder (`Upsample2d`) of an autoencoder.
template <Scalar T, Device D, class Resample>
struct AutoencoderHalf {
  using value_type = T;
  using device_type = D;
  using Block = AutoencoderBlock<T, D, Resample>;
  static constexpr bool decoder = std::same_as<Resample, Upsample2d<T, D>>;

  Conv2d<T, D> conv_in;
  std::vector<Block> blocks;
  std::optional<AutoencoderMidBlock<T, D>> mid_block;
  GroupNorm<T, D> conv_norm_out;
  Conv2d<T, D> conv_out;

  AutoencoderHalf() = default;
  explicit AutoencoderHalf(const AutoencoderConfig& c) {
    const auto& width = c.block_out_channels;
    const std::size_t n = width.size();
    require<OptionError>(n > 0, "AutoencoderConfig: no levels");
    const std::int64_t layers = !decoder               ? c.layers_per_block
                                : c.decoder_layers > 0 ? c.decoder_layers
                                                       : c.layers_per_block + 1;
    std::int64_t channels = decoder ? width.back() : width[0];
    conv_in = {decoder ? c.latent_channels : c.in_channels, channels};
    for (std::size_t i = 0; i < n; ++i) {
      const std::int64_t out = decoder ? width[n - 1 - i] : width[i];
      std::optional<Resample> change;
      if (i + 1 < n) {
        if constexpr (decoder)
          change.emplace(out);
        else
          change.emplace(out, true);
      }
      blocks.emplace_back(ResnetOptions{channels, out, 0, c.norm_num_groups, c.norm_eps}, layers, std::move(change));
      channels = out;
    }
    const ResnetOptions mid{width.back(), width.back(), 0, c.norm_num_groups, c.norm_eps};
    if (c.mid_block) mid_block.emplace(mid, c.mid_attention);
    conv_norm_out = {c.norm_num_groups, channels, c.norm_eps};
    conv_out = {channels, decoder ? c.out_channels : 2 * c.latent_channels};
  }
  Var<T, D> operator()(const Var<T, D>& x) const {
    auto h = conv_in(x);
    if (decoder && mid_block) h = (*mid_block)(h);
    for (const auto& block : blocks) h = block(h);
    if (!decoder && mid_block) h = (*mid_block)(h);
    return conv_out(conv_norm_out(h, ops::Activation::silu));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv_in", conv_in, decoder ? "up_blocks" : "down_blocks", blocks, "mid_block", mid_block,
                  "conv_norm_out", conv_norm_out, "conv_out", conv_out);
  }
};

/// Variational autoencoder of latent diffusion, with the parameter names of AutoencoderKL of diffusers.
template <Scalar T, Device D = Cpu>
struct Autoencoder {
  using value_type = T;
  using device_type = D;

  AutoencoderConfig config;
  AutoencoderHalf<T, D, Downsample2d<T, D>> encoder;
  AutoencoderHalf<T, D, Upsample2d<T, D>> decoder;
  Conv2d<T, D> quant_conv, post_quant_conv;

  Autoencoder() = default;
  Autoencoder(const Autoencoder&);
  Autoencoder(Autoencoder&&) noexcept;
  Autoencoder& operator=(const Autoencoder&);
  Autoencoder& operator=(Autoencoder&&) noexcept;
  ~Autoencoder();
  explicit Autoencoder(const AutoencoderConfig& c);

  /// Images [B, H, W, in_channels], normally in [-1, 1] -> mean and log-variance (in [-30, 20]) [B, h, w, latent].
  [[nodiscard]] Posterior<T, D> encode(const Var<T, D>& x) const;
  /// Mean and log-variance from the encoder's last features.
  [[nodiscard]] Posterior<T, D> posterior(const Var<T, D>& features) const;
  /// Unscaled latents [B, h, w, latent] -> images [B, H, W, out_channels].
  [[nodiscard]] Var<T, D> decode(const Var<T, D>& z) const;
  /// Images -> latents of about unit variance: scaling_factor times the mean.
  [[nodiscard]] Var<T, D> to_latent(const Var<T, D>& x) const {
    return autograd::affine(encode(x).mean, static_cast<Accumulator<T>>(config.scaling_factor));
  }
  /// The reverse of `to_latent`.
  [[nodiscard]] Var<T, D> from_latent(const Var<T, D>& z) const {
    return decode(autograd::affine(z, static_cast<Accumulator<T>>(1 / config.scaling_factor)));
  }
  /// Ratio of an image's height to the height of its latent.
  [[nodiscard]] std::int64_t downscale() const { return std::int64_t{1} << (config.block_out_channels.size() - 1); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "encoder", encoder, "decoder", decoder, "quant_conv", quant_conv, "post_quant_conv",
                  post_quant_conv);
  }
};

template <Scalar T, Device D>
Autoencoder<T, D>::Autoencoder(const AutoencoderConfig& c)
    : config(c),
      encoder(c),
      decoder(c),
      quant_conv(2 * c.latent_channels, 2 * c.latent_channels, 1),
      post_quant_conv(c.latent_channels, c.latent_channels, 1) {}

template <Scalar T, Device D>
Posterior<T, D> Autoencoder<T, D>::encode(const Var<T, D>& x) const {
  return posterior(encoder(x));
}

template <Scalar T, Device D>
Posterior<T, D> Autoencoder<T, D>::posterior(const Var<T, D>& features) const {
  const auto moments = quant_conv(features);
  return {autograd::slice_channels(moments, 0, config.latent_channels),
          autograd::map(Clamp{-30, 20},
                        autograd::slice_channels(moments, config.latent_channels, 2 * config.latent_channels))};
}

template <Scalar T, Device D>
Var<T, D> Autoencoder<T, D>::decode(const Var<T, D>& z) const {
  return decoder(post_quant_conv(z));
}

// As the compiler would define them, but members: instances of the class hold them, see hypersd/compiled.hpp.
template <Scalar T, Device D>
Autoencoder<T, D>::Autoencoder(const Autoencoder&) = default;
template <Scalar T, Device D>
Autoencoder<T, D>::Autoencoder(Autoencoder&&) noexcept = default;
template <Scalar T, Device D>
Autoencoder<T, D>& Autoencoder<T, D>::operator=(const Autoencoder&) = default;
template <Scalar T, Device D>
Autoencoder<T, D>& Autoencoder<T, D>::operator=(Autoencoder&&) noexcept = default;
template <Scalar T, Device D>
Autoencoder<T, D>::~Autoencoder() = default;

}  // namespace hypersd::nn
