// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/norm.hpp>
#include <vector>

/// \file
/// Parts of diffusion transformers (Peebles and Xie, arXiv 2212.09748, Section 3.2): norms without parameters whose
/// results are scaled, shifted and gated by vectors of each sample (adaLN-zero), and feed-forward layers.

namespace hypersd::nn {

/// x (1 + scale) + shift: arguments (x, scale, shift).
struct Modulate {
  template <class T>
  HYPERSD_HD T operator()(T x, T scale, T shift) const {
    return x * (T(1) + scale) + shift;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x, T scale, T) const {
    return I == 0 ? T(1) + scale : I == 1 ? x : T(1);
  }
};
/// x + gate y: arguments (x, y, gate).
struct AddGated {
  template <class T>
  HYPERSD_HD T operator()(T x, T y, T gate) const {
    return x + gate * y;
  }
  template <int I, class T>
  HYPERSD_HD T d(T, T y, T gate) const {
    return I == 0 ? T(1) : I == 1 ? gate : y;
  }
};
/// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, the approximation of GELU (Hendrycks and Gimpel, 1606.08415).
struct GeluTanh {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return T(0.5) * x * (T(1) + math::tanh(T(0.79788456080286536) * (x + T(0.044715) * x * x * x)));
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    const T h = math::tanh(T(0.79788456080286536) * (x + T(0.044715) * x * x * x));
    return T(0.5) * (T(1) + h) + T(0.5) * x * (T(1) - h * h) * T(0.79788456080286536) * (T(1) + T(0.134145) * x * x);
  }
};

/// x (1 + scale) + shift for x [B, N, C]; shift and scale [B, C].
template <class T, class D>
Var<T, D> modulate(const Var<T, D>& x, const Var<T, D>& shift, const Var<T, D>& scale) {
  return autograd::map(Modulate{}, x, ops::per_channel(scale), ops::per_channel(shift));
}
/// x + gate y for x and y [B, N, C]; gate [B, C].
template <class T, class D>
Var<T, D> add_gated(const Var<T, D>& x, const Var<T, D>& gate, const Var<T, D>& y) {
  return autograd::map(AddGated{}, x, y, ops::per_channel(gate));
}
/// `count` equal parts of the last axis. Throws ShapeError.
template <class T, class D>
std::vector<Var<T, D>> chunks(const Var<T, D>& x, std::int64_t count) {
  require<ShapeError>(x.dim(-1) % count == 0, "chunks: ", count, " equal parts of shape ", x.shape());
  const std::int64_t width = x.dim(-1) / count;
  std::vector<Var<T, D>> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back(autograd::slice_channels(x, i * width, (i + 1) * width));
  return out;
}

/// Normalization over the last axis without parameters: layer norm, or by the root mean square.
struct PlainNorm {
  double eps = 1e-6;
  bool rms = false;
  template <class T, class D>
  Var<T, D> operator()(const Var<T, D>& x) const {
    return rms ? autograd::rms_norm(x, Var<T, D>{}, eps) : autograd::layer_norm(x, Var<T, D>{}, Var<T, D>{}, eps);
  }
};

/// linear C -> factor C, GELU (tanh), linear factor C -> C; parameter names `net.0.proj` and `net.2`.
template <Scalar T, Device D = Cpu>
struct GeluFeedForward {
  using value_type = T;
  using device_type = D;

  Linear<T, D> proj, out;

  GeluFeedForward() = default;
  explicit GeluFeedForward(std::int64_t channels, std::int64_t factor = 4)
      : proj(channels, factor * channels), out(factor * channels, channels) {}
  Var<T, D> operator()(const Var<T, D>& x) const { return out(autograd::map(GeluTanh{}, proj(x))); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "net.0.proj", proj, "net.2", out);
  }
};

/// Declares the initial values of a diffusion transformer: Xavier uniform weights and zero biases; N(0, 0.02^2) for
/// the weights of layers whose path ends in one of `small` (embeddings of times); all 0 for those that end in one of
/// `zero` (modulations and the output), so that every block starts as the identity and the network as 0.
template <Module M>
void declare_transformer_init(M& net, const std::vector<std::string>& small, const std::vector<std::string>& zero) {
  for_each_layer(net, [&](const std::string& path, auto& layer) {
    const Shape shape = layer.weight.shape();
    const bool is_zero = is_lora_target(path, zero), is_small = is_lora_target(path, small);
    layer.weight = {shape, is_zero    ? Initializer::zeros()
                           : is_small ? Initializer::normal(0.02)
                                      : Initializer::xavier(shape.numel_from(1), shape[0])};
    if (layer.bias.declared()) layer.bias = {layer.bias.shape(), Initializer::zeros()};
  });
}

}  // namespace hypersd::nn
