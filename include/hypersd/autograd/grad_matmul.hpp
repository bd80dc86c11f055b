// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/layer_weight.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/reduce.hpp>

namespace hypersd::autograd {

/// Differentiable op(A) op(B) of two matrices; op transposes where `trans_a` or `trans_b` says so. Throws ShapeError.
template <class T, class D>
Var<T, D> matmul(const Var<T, D>& a, const Var<T, D>& b, bool trans_a = false, bool trans_b = false) {
  return make_result<T, D>(
      ops::matmul(a.value(), b.value(), trans_a, trans_b), {a, b},
      [a, b, trans_a, trans_b](const Tensor<T, D>& g) {
        const auto& x = a.value();
        const auto& y = b.value();
        if (a.requires_grad())
          a.accumulate(trans_a ? ops::matmul(y, g, trans_b, true) : ops::matmul(g, y, false, !trans_b));
        if (b.requires_grad())
          b.accumulate(trans_b ? ops::matmul(g, x, true, trans_a) : ops::matmul(x, g, !trans_a, false));
      },
      [&] {
        Tensor<T, D> tangent;
        if (a.has_tangent()) tangent = ops::matmul(a.tangent(), b.value(), trans_a, trans_b);
        if (b.has_tangent()) detail::add_tangent(tangent, ops::matmul(a.value(), b.tangent(), trans_a, trans_b));
        return tangent;
      });
}

/// y = x W^T + b: x [..., in], w [out, in], b [out] or an undefined Var -> [..., out]. Throws ShapeError.
template <class T, class D, LayerWeight<T, D> W>
Var<T, D> linear(const Var<T, D>& x, const W& w, const std::type_identity_t<Var<T, D>>& bias = {}) {
  auto y = ops::linear(x.value(), detail::layer_value(w), bias.defined() ? bias.value() : Tensor<T, D>{});
  return make_result<T, D>(
      std::move(y), detail::layer_inputs(x, w, bias),
      [x, w, bias](const Tensor<T, D>& g) {
        const std::int64_t rows = x.size() / w.dim(1);
        const auto flat = g.reshape({rows, w.dim(0)});
        if (bias.requires_grad()) bias.accumulate(ops::sum_to_channels(g));
        if constexpr (std::same_as<W, Var<T, D>>)
          if (w.requires_grad()) w.accumulate(ops::matmul(flat, x.value().reshape({rows, w.dim(1)}), true, false));
        if (x.requires_grad())
          x.accumulate(ops::linear_input_gradient(flat, detail::layer_value(w)).reshape(x.shape()));
      },
      [&] {
        return detail::layer_tangent(x, w, bias, [](const auto&... operands) { return ops::linear(operands...); });
      });
}

}  // namespace hypersd::autograd
