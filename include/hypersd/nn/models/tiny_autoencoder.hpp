// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/nn/conv.hpp>
#include <optional>

namespace hypersd::nn {

/// Sizes of a tiny autoencoder; the default is that of TAESD. Lists have one entry per level.
struct TinyAutoencoderConfig {
  std::int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<std::int64_t> encoder_widths{64, 64, 64, 64};  ///< finest level first; all equal
  std::vector<std::int64_t> decoder_widths{64, 64, 64, 64};  ///< coarsest level first; all equal
  std::vector<std::int64_t> encoder_blocks{1, 3, 3, 3};      ///< residual blocks of each level
  std::vector<std::int64_t> decoder_blocks{3, 3, 3, 1};      ///< residual blocks of each level

  /// Throws OptionError naming what is inconsistent.
  void validate() const {
    const auto check = [](const auto& widths, const auto& blocks, const char* which) {
      require<OptionError>(!widths.empty() && widths.size() == blocks.size(), "TinyAutoencoderConfig: ", which, " has ",
                           widths.size(), " widths and ", blocks.size(), " numbers of blocks");
      for (const std::int64_t width : widths)
        require<OptionError>(width >= 1 && width == widths[0], "TinyAutoencoderConfig: widths of the ", which,
                             " must be positive and equal");
    };
    check(encoder_widths, encoder_blocks, "encoder");
    check(decoder_widths, decoder_blocks, "decoder");
  }
};

/// relu(x + conv(relu(conv(relu(conv x))))).
template <Scalar T, Device D = Cpu>
struct TinyBlock {
  using value_type = T;
  using device_type = D;

  Conv2d<T, D> first, second, third;

  TinyBlock() = default;
  explicit TinyBlock(std::int64_t width) : first(width, width), second(width, width), third(width, width) {}
  Var<T, D> operator()(const Var<T, D>& x) const {
    const auto h = third(autograd::relu(second(autograd::relu(first(x)))));
    return autograd::relu(autograd::add(x, h));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv.0", first, "conv.2", second, "conv.4", third);
  }
};

/// One entry of a tiny encoder's or decoder's list of layers. Activations and upsampling have no parameters but a
/// number.
template <Scalar T, Device D = Cpu>
struct TinyLayer {
  using value_type = T;
  using device_type = D;
  enum class Kind { conv, block, relu, upsample };

  Kind kind = Kind::relu;
  std::optional<Conv2d<T, D>> conv;
  std::optional<TinyBlock<T, D>> block;

  Var<T, D> operator()(const Var<T, D>& x) const {
    switch (kind) {
      case Kind::conv: return (*conv)(x);
      case Kind::block: return (*block)(x);
      case Kind::upsample: return autograd::upsample_nearest(x, 2 * x.dim(1), 2 * x.dim(2));
      default: return autograd::relu(x);
    }
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    if (conv) conv->visit(f, prefix);
    if (block) block->visit(f, prefix);
  }
};

namespace detail {

template <Scalar T, Device D>
TinyLayer<T, D> tiny_conv(std::int64_t in, std::int64_t out, std::int64_t stride, bool bias) {
  TinyLayer<T, D> layer{TinyLayer<T, D>::Kind::conv, Conv2d<T, D>(in, out, 3, stride), {}};
  if (!bias) layer.conv->bias = {};
  return layer;
}
template <Scalar T, Device D>
TinyLayer<T, D> tiny_block(std::int64_t width) {
  return {TinyLayer<T, D>::Kind::block, {}, TinyBlock<T, D>(width)};
}

}  // namespace detail

/// 3 tanh(x / 3): what the tiny decoder does to latents first.
struct SoftClamp3 {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return T(3) * math::tanh(x / T(3));
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    const T y = math::tanh(x / T(3));
    return T(1) - y * y;
  }
};

/// The encoder of TAESD, with the parameter names of diffusers' EncoderTiny.
template <Scalar T, Device D = Cpu>
struct TinyEncoder {
  using value_type = T;
  using device_type = D;

  std::vector<TinyLayer<T, D>> layers;

  TinyEncoder() = default;
  /// Throws OptionError for an inconsistent configuration.
  explicit TinyEncoder(const TinyAutoencoderConfig& c) {
    c.validate();
    std::int64_t in = c.in_channels;
    for (std::size_t i = 0; i < c.encoder_widths.size(); ++i) {
      const std::int64_t width = c.encoder_widths[i];
      layers.push_back(detail::tiny_conv<T, D>(in, width, i == 0 ? 1 : 2, i == 0));
      for (std::int64_t k = 0; k < c.encoder_blocks[i]; ++k) layers.push_back(detail::tiny_block<T, D>(width));
      in = width;
    }
    layers.push_back(detail::tiny_conv<T, D>(in, c.latent_channels, 1, true));
  }
  /// Images [B, H, W, in_channels] in [-1, 1] -> latents [B, h, w, latent_channels], 2^(levels - 1) times smaller.
  Var<T, D> operator()(const Var<T, D>& x) const {
    auto h = autograd::affine(x, Accumulator<T>(0.5), Accumulator<T>(0.5));
    for (const auto& layer : layers) h = layer(h);
    return h;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "layers", layers);
  }
};

/// The decoder of TAESD, with the parameter names of diffusers' DecoderTiny.
template <Scalar T, Device D = Cpu>
struct TinyDecoder {
  using value_type = T;
  using device_type = D;

  std::vector<TinyLayer<T, D>> layers;

  TinyDecoder() = default;
  /// Throws OptionError for an inconsistent configuration.
  explicit TinyDecoder(const TinyAutoencoderConfig& c) {
    c.validate();
    using Layer = TinyLayer<T, D>;
    layers.push_back(detail::tiny_conv<T, D>(c.latent_channels, c.decoder_widths[0], 1, true));
    layers.push_back(Layer{Layer::Kind::relu, {}, {}});
    for (std::size_t i = 0; i < c.decoder_widths.size(); ++i) {
      const std::int64_t width = c.decoder_widths[i];
      const bool last = i + 1 == c.decoder_widths.size();
      for (std::int64_t k = 0; k < c.decoder_blocks[i]; ++k) layers.push_back(detail::tiny_block<T, D>(width));
      if (!last) layers.push_back(Layer{Layer::Kind::upsample, {}, {}});
      layers.push_back(detail::tiny_conv<T, D>(width, last ? c.out_channels : width, 1, last));
    }
  }
  /// Latents [B, h, w, latent_channels] of about unit variance -> images of about [-1, 1], 2^(levels - 1) times larger.
  Var<T, D> operator()(const Var<T, D>& z) const {
    auto h = autograd::map(SoftClamp3{}, z);
    for (const auto& layer : layers) h = layer(h);
    return autograd::affine(h, Accumulator<T>(2), Accumulator<T>(-1));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "layers", layers);
  }
};

/// TAESD (Ollin Boer Bohan, https://github.com/madebyollin/taesd), a small stand-in for the autoencoder of Stable
/// Diffusion: plain convolutions without norms, 1.2 million parameters each way. Latents are the diffusion model's, of
/// about unit variance, without a scaling factor. Parameter names are those of AutoencoderTiny of diffusers.
template <Scalar T, Device D = Cpu>
struct TinyAutoencoder {
  using value_type = T;
  using device_type = D;

  TinyEncoder<T, D> encoder;
  TinyDecoder<T, D> decoder;

  TinyAutoencoder() = default;
  /// Throws OptionError for an inconsistent configuration.
  explicit TinyAutoencoder(const TinyAutoencoderConfig& c) : encoder(c), decoder(c) {}
  [[nodiscard]] Var<T, D> encode(const Var<T, D>& x) const { return encoder(x); }
  [[nodiscard]] Var<T, D> decode(const Var<T, D>& z) const { return decoder(z); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "encoder", encoder, "decoder", decoder);
  }
};

}  // namespace hypersd::nn
