// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/layer_weight.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/reduce.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::conv2d`: x [B, H, W, C], w [O, kh, kw, C], bias [O] or an undefined Var -> [B, H', W', O].
/// Throws ShapeError.
template <class T, class D, LayerWeight<T, D> W>
Var<T, D> conv2d(const Var<T, D>& x, const W& w, const std::type_identity_t<Var<T, D>>& bias,
                 ops::Conv2dOptions options = {}) {
  auto y = ops::conv2d(x.value(), detail::layer_value(w), bias.defined() ? bias.value() : Tensor<T, D>{}, options);
  return make_result<T, D>(
      std::move(y), detail::layer_inputs(x, w, bias),
      [x, w, bias, options](const Tensor<T, D>& g) {
        if (bias.requires_grad()) bias.accumulate(ops::sum_to_channels(g));
        if constexpr (std::same_as<W, Var<T, D>>)
          if (w.requires_grad()) w.accumulate(ops::conv2d_weight_gradient(g, x.value(), w.shape(), options));
        if (x.requires_grad()) x.accumulate(ops::conv2d_input_gradient(g, detail::layer_value(w), x.shape(), options));
      },
      [&] {
        return detail::layer_tangent(x, w, bias,
                                     [&](const auto&... operands) { return ops::conv2d(operands..., options); });
      });
}

}  // namespace hypersd::autograd
