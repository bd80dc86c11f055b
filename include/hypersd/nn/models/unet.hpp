// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/unet_encoder.hpp>

namespace hypersd::nn {

/// What a ControlNet adds to a UNet: one residual for each skip connection, in the order of the encoder, and one for
/// the result of the middle block (may be undefined).
template <Scalar T, Device D = Cpu>
struct ControlResiduals {
  std::vector<Var<T, D>> skips;
  Var<T, D> mid;
};

/// Text-conditioned UNet of Stable Diffusion (Rombach et al., arXiv 2112.10752; SDXL: arXiv 2307.01952), channels
/// last, with the parameter names of UNet2DConditionModel of diffusers.
template <Scalar T, Device D = Cpu>
struct Unet {
  using value_type = T;
  using device_type = D;
  using Condition = UnetCondition<T, D>;

  UnetEncoder<T, D> encoder;
  std::vector<UnetUpBlock<T, D>> up_blocks;
  GroupNorm<T, D> conv_norm_out;
  Conv2d<T, D> conv_out;

  Unet() = default;
  Unet(const Unet&);
  Unet(Unet&&) noexcept;
  Unet& operator=(const Unet&);
  Unet& operator=(Unet&&) noexcept;
  ~Unet();
  /// Declares the parameters; `init_parameters` or `load_state_dict` gives them values. Throws OptionError for a
  /// configuration that is inconsistent.
  explicit Unet(const UnetConfig& c);
  /// The sizes that the network was built with.
  [[nodiscard]] const UnetConfig& config() const { return encoder.config; }

  /// Prediction [B, H, W, out_channels] for samples x [B, H, W, in_channels] at training times t [B] (fractions
  /// allowed). H and W may be any size that the levels can halve, odd ones included. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition,
                       const ControlResiduals<T, D>* control = nullptr) const {
    return (*this)(x, t, condition, Numbers<T, D>{}, control);
  }
  /// The same for a student with embedded guidance (`time_cond_proj_dim` > 0): `w` [B] = scale - 1. Without `w`, or
  /// with freshly initialized parameters, this input has no effect.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition, const Numbers<T, D>& w,
                       const ControlResiduals<T, D>* control = nullptr) const {
    return predict(x, t, condition, w, {}, control);
  }
  /// The same with `extra` [B, embedding_dim], if defined, added to the embedding of the time: for networks that are
  /// told more.
  Var<T, D> predict(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition, const Numbers<T, D>& w,
                    const Var<T, D>& extra, const ControlResiduals<T, D>* control = nullptr) const {
    auto e = encoder(x, t, condition, {}, w, extra);
    if (control) add_control(e, *control);
    return decode(std::move(e), condition);
  }
  /// Outputs of the down levels, finest first, and of the middle block: the features for a discriminator.
  [[nodiscard]] std::vector<Var<T, D>> features(const Var<T, D>& x, const Times<T, D>& t,
                                                const Condition& condition) const {
    auto e = encoder(x, t, condition);
    e.levels.push_back(e.h);
    return e.levels;
  }
  /// Channels of what `features` returns.
  [[nodiscard]] std::vector<std::int64_t> feature_channels() const {
    auto channels = config().block_out_channels;
    channels.push_back(channels.back());
    return channels;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    encoder.visit(f, prefix);
    visit_members(f, prefix, "up_blocks", up_blocks, "conv_norm_out", conv_norm_out, "conv_out", conv_out);
  }

 private:
  static void add_control(UnetEncoding<T, D>& e, const ControlResiduals<T, D>& control) {
    require<ShapeError>(control.skips.size() == e.skips.size(), "UNet: ", control.skips.size(),
                        " control residuals for ", e.skips.size(), " skip connections");
    for (std::size_t i = 0; i < e.skips.size(); ++i) e.skips[i] = autograd::add(e.skips[i], control.skips[i]);
    if (control.mid.defined()) e.h = autograd::add(e.h, control.mid);
  }
  Var<T, D> decode(UnetEncoding<T, D> e, const Condition& condition) const;
};

template <Scalar T, Device D>
Unet<T, D>::Unet(const UnetConfig& c) : encoder(c) {
  const auto& width = c.block_out_channels;
  auto skips = c.skip_channels();
  std::int64_t previous = width.back();
  for (std::size_t level = c.levels(); level-- > 0;) {
    std::vector<std::int64_t> taken(skips.end() - (c.layers_per_block + 1), skips.end());
    std::reverse(taken.begin(), taken.end());
    skips.resize(skips.size() - taken.size());
    up_blocks.emplace_back(encoder.resnet(0, width[level]), previous, taken,
                           encoder.attention(level, c.attention_up(level)), level > 0);
    previous = width[level];
  }
  conv_norm_out = {c.norm_num_groups, width[0], c.norm_eps};
  conv_out = {width[0], c.out_channels};
}

template <Scalar T, Device D>
Var<T, D> Unet<T, D>::decode(UnetEncoding<T, D> e, const Condition& condition) const {
  for (const auto& block : up_blocks)
    e.h = block(e.h, e.embedding, condition.tokens, e.skips, config().checkpoint_layers);
  return conv_out(conv_norm_out(e.h, ops::Activation::silu));
}

// As the compiler would define them, but members: instances of the class hold them, see hypersd/compiled.hpp.
template <Scalar T, Device D>
Unet<T, D>::Unet(const Unet&) = default;
template <Scalar T, Device D>
Unet<T, D>::Unet(Unet&&) noexcept = default;
template <Scalar T, Device D>
Unet<T, D>& Unet<T, D>::operator=(const Unet&) = default;
template <Scalar T, Device D>
Unet<T, D>& Unet<T, D>::operator=(Unet&&) noexcept = default;
template <Scalar T, Device D>
Unet<T, D>::~Unet() = default;

}  // namespace hypersd::nn
