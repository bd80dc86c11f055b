// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/nn/module.hpp>
#include <hypersd/ops/matmul.hpp>

namespace hypersd::nn {

/// W + scale B A as one differentiable operation: w [out, ...] with K trailing elements per row, up = B [out, r],
/// down = A [r, ...] with K trailing elements per row.
template <Floating T, Device D>
Var<T, D> low_rank_update(const Var<T, D>& w, const Var<T, D>& up, const Var<T, D>& down, Accumulator<T> scale) {
  const Shape matrix{w.dim(0), w.shape().numel_from(1)}, factor{down.dim(0), down.shape().numel_from(1)};
  const Var<T, D> trained = w.requires_grad() ? w : Var<T, D>();  // a constant need not outlive this call
  auto value = w.value().clone();
  ops::gemm(value.reshape(matrix), up.value(), false, down.value().reshape(factor), false, scale, Accumulator<T>(1));
  return autograd::make_result<T, D>(
      std::move(value), {w, up, down},
      [trained, up, down, scale, matrix, factor](const Tensor<T, D>& g) {
        const auto flat = g.reshape(matrix);
        if (up.requires_grad()) {
          Tensor<T, D> g_up(up.shape());
          ops::gemm(g_up, flat, false, down.value().reshape(factor), true, scale);
          up.accumulate(std::move(g_up));
        }
        if (down.requires_grad()) {
          Tensor<T, D> g_down(factor);
          ops::gemm(g_down, up.value(), true, flat, false, scale);
          down.accumulate(g_down.reshape(down.shape()));
        }
        trained.accumulate(g);
      },
      [&] {
        auto tangent = w.has_tangent() ? w.tangent().clone() : Tensor<T, D>::zeros(w.shape());
        const auto add = [&](const Tensor<T, D>& b, const Tensor<T, D>& a) {
          ops::gemm(tangent.reshape(matrix), b, false, a.reshape(factor), false, scale, Accumulator<T>(1));
        };
        if (up.has_tangent()) add(up.tangent(), down.value());
        if (down.has_tangent()) add(up.value(), down.tangent());
        return tangent;
      });
}

/// One low-rank adapter of a layer (Hu et al., LoRA, arXiv 2106.09685): W' = W + weight alpha / r up down.
template <Scalar T, Device D = Cpu>
struct LoraFactors {
  std::string name;      ///< which adapter this belongs to
  Parameter<T, D> down;  ///< [r, in] or, of a convolution, [r, kh, kw, in]
  Parameter<T, D> up;    ///< [out, r]
  double alpha = 1;      ///< alpha / r scales the product
  double weight = 1;     ///< strength of the adapter; 0 switches it off

  LoraFactors() = default;
  /// Factors for a layer whose weight has shape `layer`. `up` starts at zero, so that a fresh adapter changes nothing.
  LoraFactors(std::string adapter, const Shape& layer, std::int64_t rank, double alpha_)
      : name(std::move(adapter)),
        down(layer.with(0, rank), Initializer::fan_in(layer.numel_from(1))),
        up(Shape{layer[0], rank}, Initializer::zeros()),
        alpha(alpha_) {
    down.set_adapter(true);
    up.set_adapter(true);
  }
  /// Rank r of the factors.
  [[nodiscard]] std::int64_t rank() const { return up.shape()[1]; }
  /// weight alpha / r, the factor of the product.
  [[nodiscard]] double scale() const { return weight * alpha / static_cast<double>(rank()); }
};

/// Base of `Linear` and `Conv2d`: a weight, an optional bias, and any number of adapters.
template <Scalar T, Device D>
struct AdaptedLayer {
  using value_type = T;
  using device_type = D;

  Parameter<T, D> weight, bias;
  std::vector<LoraFactors<T, D>> adapters;

  /// Whether an adapter changes the weight.
  [[nodiscard]] bool adapted() const {
    return std::any_of(adapters.begin(), adapters.end(), [](const auto& a) { return a.weight != 0; });
  }
  /// layer(x, w, bias), a linear function of (w, bias), for the weight with all adapters added: constants if the weight
  /// is held as such and nothing is added to it, else a variable. Large trained adapters are branches.
  template <class Layer>
  Var<T, D> apply(const Var<T, D>& x, const Layer& layer) const {
    if (!adapted() || has_branches()) {
      const auto base = [&](const auto& w) { return layer(x, w, bias.get()); };
      Var<T, D> y;
      if constexpr (Parameter<T, D>::can_keep)
        if (weight.kept().defined()) y = base(weight.kept());
      if (!y.defined()) y = base(weight.get());
      for (const auto& a : adapters)
        if (a.weight != 0)
          y = autograd::linear_combination(Accumulator<T>(1), y, static_cast<Accumulator<T>>(a.scale()),
                                           autograd::linear(layer(x, a.down.get(), Var<T, D>()), a.up.get()));
      return y;
    }
    return layer(x, effective_weight(), bias.get());
  }
  /// Whether adapters are trained and so much smaller than their constant weight [out, K] that branches up (down x)
  /// cost less, in the backward pass above all, than the sum of weights, whose gradient is a matmul as large as the
  /// layer. Never in 16 bits: the result would be rounded once more. A function of the shapes, and not of the number of
  /// positions, so that a batch has the bits of its samples.
  [[nodiscard]] bool has_branches() const {
    if (Narrow<T> || weight.requires_grad()) return false;
    constexpr std::int64_t least = 1 << 16;
    const std::int64_t out = weight.dim(0), depth = weight.size() / std::max<std::int64_t>(1, out);
    std::int64_t rank = 0;
    for (const auto& a : adapters) {
      if (a.weight == 0) continue;
      if (!a.up.requires_grad() && !a.down.requires_grad()) return false;
      rank += a.rank();
    }
    return rank > 0 && out * depth >= least && 4 * rank * (out + depth) <= out * depth;
  }
  /// The weight with all adapters added. For inference one matmul with the sum is cheaper than a second branch for each
  /// adapter if the layer is applied to more positions than it has input channels. A constant weight is widened for the
  /// sum, which is in memory as long as the result is.
  [[nodiscard]] Var<T, D> effective_weight() const {
    Var<T, D> w = weight.get();
    for (const auto& a : adapters)
      if (a.weight != 0) w = low_rank_update(w, a.up.get(), a.down.get(), static_cast<Accumulator<T>>(a.scale()));
    return w;
  }
  /// The adapter of that name, or a null pointer.
  [[nodiscard]] LoraFactors<T, D>* find_adapter(const std::string& name) {
    for (auto& a : adapters)
      if (a.name == name) return &a;
    return nullptr;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    if constexpr (LayerVisitor<F>) {
      f.layer(prefix, *this);
    } else {
      visit_members(f, prefix, "weight", weight, "bias", bias);
      for (auto& a : adapters) {
        f(join(prefix, "lora_A." + a.name + ".weight"), a.down);
        f(join(prefix, "lora_B." + a.name + ".weight"), a.up);
      }
    }
  }
};

}  // namespace hypersd::nn
