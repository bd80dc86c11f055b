// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/diffusion/sample_scales.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/norm.hpp>
#include <optional>
#include <string>
#include <vector>

/// \file
/// The UNet of openai's consistency-models (Song et al., "Consistency models"), in the size and with the scalar label
/// of the terrain model: written with the layers of the library, named as in its file.

namespace terrain {

using namespace hypersd;

/// shortcut(x) + conv(silu((1 + scale) norm(conv(resample(silu(norm x)))) + shift)); scale and shift from the
/// embedding.
template <Scalar T, Device D = Cpu>
struct Resnet {
  enum class Resample { none, down, up };
  using value_type = T;
  using device_type = D;

  nn::GroupNorm<T, D> in_norm, out_norm;
  nn::Conv2d<T, D> in_conv, out_conv;
  nn::Linear<T, D> embedding;
  std::optional<nn::Conv2d<T, D>> skip;
  Resample resample = Resample::none;

  Resnet() = default;
  Resnet(std::int64_t in, std::int64_t out, std::int64_t embed, Resample r = Resample::none)
      : in_norm(32, in),
        out_norm(32, out),
        in_conv(in, out),
        out_conv(out, out),
        embedding(embed, 2 * out),
        resample(r) {
    if (in != out) skip.emplace(in, out, 1);
  }
  /// x [B, H, W, in], e [B, embed] after silu.
  Var<T, D> operator()(const Var<T, D>& x, const Var<T, D>& e) const {
    auto h = in_conv(resized(in_norm(x, ops::Activation::silu)));
    const auto both = embedding(e);
    const std::int64_t width = h.dim(3);
    const auto scale = autograd::affine(autograd::slice_channels(both, 0, width), 1, 1);
    const auto shift = autograd::slice_channels(both, width, 2 * width);
    h = autograd::add(autograd::mul(out_norm(h), ops::per_channel(scale)), ops::per_channel(shift));
    h = out_conv(autograd::silu(h));
    const auto straight = resized(x);
    return autograd::add(skip ? (*skip)(straight) : straight, h);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in_layers.0", in_norm, "in_layers.2", in_conv, "emb_layers.1", embedding,
                      "out_layers.0", out_norm, "out_layers.3", out_conv, "skip_connection", skip);
  }

 private:
  [[nodiscard]] Var<T, D> resized(const Var<T, D>& x) const {
    if (resample == Resample::down) return autograd::downsample_mean2(x);
    if (resample == Resample::up) return autograd::upsample_nearest(x, 2 * x.dim(1), 2 * x.dim(2));
    return x;
  }
};

/// x + proj_out(attention of qkv(norm x)) over the positions, 32 channels a head.
template <Scalar T, Device D = Cpu>
struct Attention {
  using value_type = T;
  using device_type = D;
  nn::GroupNorm<T, D> norm;
  nn::Conv2d<T, D> qkv, proj_out;

  Attention() = default;
  explicit Attention(std::int64_t channels)
      : norm(32, channels), qkv(channels, 3 * channels, 1), proj_out(channels, channels, 1) {}
  Var<T, D> operator()(const Var<T, D>& x) const {
    const std::int64_t c = x.dim(3), tokens = x.dim(1) * x.dim(2);
    const auto all = autograd::reshape(qkv(norm(x)), Shape{x.dim(0), tokens, 3 * c});
    const auto part = [&](std::int64_t i) { return autograd::slice_channels(all, i * c, (i + 1) * c); };
    const auto mixed = autograd::attention(part(0), part(1), part(2), c / 32);
    return autograd::add(x, proj_out(autograd::reshape(mixed, x.shape())));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "norm", norm, "qkv", qkv, "proj_out", proj_out);
  }
};

/// One entry of the paths: a resnet, attention at coarse levels, and in the up path a resnet that enlarges.
template <Scalar T, Device D = Cpu>
struct Block {
  using value_type = T;
  using device_type = D;
  Resnet<T, D> resnet;
  std::optional<Attention<T, D>> attention;
  std::optional<Resnet<T, D>> up;

  Var<T, D> operator()(const Var<T, D>& x, const Var<T, D>& e) const {
    auto h = resnet(x, e);
    if (attention) h = (*attention)(h);
    return up ? (*up)(h, e) : h;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "0", resnet, "1", attention, attention ? "2" : "1", up);
  }
};

/// The network F of 10.5 million parameters: images of one channel, a noise level and a label in [0, 1].
template <Scalar T, Device D = Cpu>
struct Network {
  using value_type = T;
  using device_type = D;
  static constexpr std::int64_t width = 32, embed = 128, levels = 5, blocks = 4;

  nn::Linear<T, D> time_1{width, embed}, time_2{embed, embed}, label_1{1, embed}, label_2{embed, embed};
  nn::Conv2d<T, D> first{1, width}, last{width, 1};
  std::vector<Block<T, D>> down, up;
  Resnet<T, D> middle_1, middle_2;
  Attention<T, D> middle;
  nn::GroupNorm<T, D> out_norm{32, width};

  Network() {
    using R = typename Resnet<T, D>::Resample;
    const std::vector<std::int64_t> widths{32, 32, 64, 96, 128};
    std::vector<std::int64_t> skips{width};
    std::int64_t c = width;
    const auto attends = [](std::int64_t level) { return level >= 2; };  // 32 x 32 positions and fewer
    for (std::int64_t level = 0; level < levels; ++level) {
      for (std::int64_t i = 0; i < blocks; ++i) {
        const std::int64_t to = widths[static_cast<std::size_t>(level)];
        down.push_back({{c, to, embed}, {}, {}});
        if (attends(level)) down.back().attention.emplace(to);
        skips.push_back(c = to);
      }
      if (level + 1 == levels) break;
      down.push_back({{c, c, embed, R::down}, {}, {}});
      skips.push_back(c);
    }
    middle_1 = {c, c, embed};
    middle = Attention<T, D>(c);
    middle_2 = {c, c, embed};
    for (std::int64_t level = levels - 1; level >= 0; --level)
      for (std::int64_t i = 0; i <= blocks; ++i) {
        const std::int64_t to = widths[static_cast<std::size_t>(level)];
        up.push_back({{c + skips.back(), to, embed}, {}, {}});
        skips.pop_back();
        c = to;
        if (attends(level)) up.back().attention.emplace(c);
        if (i == blocks && level > 0) up.back().up.emplace(c, c, embed, R::up);
      }
  }

  /// F(x, t, label): x [B, H, W, 1] with H, W multiples of 16; t, label [B].
  Var<T, D> operator()(const Var<T, D>& x, const std::vector<double>& t, const std::vector<double>& label) const {
    const auto batch = static_cast<std::int64_t>(t.size());
    Tensor<T> wave(Shape{batch, width});
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t i = 0; i < width / 2; ++i) {
        // In float32, as the model was trained.
        const float frequency = std::exp(-std::log(10000.0F) * static_cast<float>(i) / static_cast<float>(width / 2));
        const float angle = static_cast<float>(t[static_cast<std::size_t>(b)]) * frequency;
        wave[b * width + i] = static_cast<T>(std::cos(angle));
        wave[b * width + width / 2 + i] = static_cast<T>(std::sin(angle));
      }
    const auto labels = diffusion::sample_scales<T, D>(label).reshape(Shape{batch, 1});
    const auto e = autograd::silu(autograd::add(time_2(autograd::silu(time_1(Var<T, D>(wave.template to<D>())))),
                                                label_2(autograd::silu(label_1(Var<T, D>(labels))))));
    auto h = first(x);
    std::vector<Var<T, D>> skips{h};
    for (const auto& block : down) skips.push_back(h = block(h, e));
    h = middle_2(middle(middle_1(h, e)), e);
    for (const auto& block : up) {
      h = block(autograd::concat_channels(h, skips.back()), e);
      skips.pop_back();
    }
    return last(out_norm(h, ops::Activation::silu));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "time_embed.0", time_1, "time_embed.2", time_2, "label_emb.0", label_1, "label_emb.2",
                      label_2, "input_blocks.0.0", first, "middle_block.0", middle_1, "middle_block.1", middle,
                      "middle_block.2", middle_2, "output_blocks", up, "out.0", out_norm, "out.2", last);
    for (std::size_t i = 0; i < down.size(); ++i)
      down[i].visit(f, nn::join(prefix, "input_blocks." + std::to_string(i + 1)));
  }
};

/// The consistency function with the boundary condition at sigma_min = 0.002: c_skip x + c_out F(c_in x, 250 ln sigma),
/// clipped to [-1, 1]. `noisy` [B, H, W, 1] has noise of deviation sigma[b].
template <Scalar T, Device D>
Tensor<T, D> denoise(const Network<T, D>& net, const Tensor<T, D>& noisy, const std::vector<double>& sigma,
                     const std::vector<double>& label) {
  constexpr double low = 0.002, data = 0.5;
  std::vector<double> skip, out, in, time;
  for (const double s : sigma) {
    skip.push_back(data * data / ((s - low) * (s - low) + data * data));
    out.push_back((s - low) * data / std::hypot(s, data));
    in.push_back(1 / std::hypot(s, data));
    time.push_back(250 * std::log(static_cast<float>(s)));
  }
  const autograd::NoGrad guard;
  const auto scaled = ops::map(ops::Mul{}, noisy, ops::per_sample(diffusion::sample_scales<T, D>(in)));
  const auto f = net(Var<T, D>(scaled), time, label).value();
  const auto x = ops::map(ops::Combine{}, noisy, f, ops::per_sample(diffusion::sample_scales<T, D>(skip)),
                          ops::per_sample(diffusion::sample_scales<T, D>(out)));
  return ops::map(ops::Clamp<Accumulator<T>>{-1, 1}, x);
}

}  // namespace terrain
