// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/normalize.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::group_norm`: x [B, ..., C], gamma and beta [C] or undefined, C divisible by `groups`. The
/// backward pass recomputes the activated value, so that only x, the means and the reciprocal deviations are stored.
template <class T, class D>
Var<T, D> group_norm(const Var<T, D>& x, const Var<T, D>& gamma, const Var<T, D>& beta, std::int64_t groups,
                     double eps = 1e-5, ops::Activation activation = ops::Activation::none) {
  const Tensor<T, D> scale = gamma.defined() ? gamma.value() : Tensor<T, D>{};
  const Tensor<T, D> shift = beta.defined() ? beta.value() : Tensor<T, D>{};
  auto out = ops::group_norm(x.value(), scale, shift, groups, eps, activation);
  return make_result<T, D>(
      std::move(out.y), {x, gamma, beta},
      [x, gamma, beta, scale, shift, mean = out.mean, rstd = out.rstd, activation](const Tensor<T, D>& g) {
        const bool parameters = gamma.requires_grad() || beta.requires_grad();
        auto grad = ops::group_norm_gradient(g, x.value(), scale, shift, mean, rstd, activation, parameters);
        if (x.requires_grad()) x.accumulate(std::move(grad.x));
        if (gamma.requires_grad()) gamma.accumulate(std::move(grad.gamma));
        if (beta.requires_grad()) beta.accumulate(std::move(grad.beta));
      });
}

/// Differentiable `ops::layer_norm` over the last axis: x [..., C], gamma and beta [C] or undefined.
template <class T, class D>
Var<T, D> layer_norm(const Var<T, D>& x, const Var<T, D>& gamma, const Var<T, D>& beta, double eps = 1e-5) {
  const Tensor<T, D> scale = gamma.defined() ? gamma.value() : Tensor<T, D>{};
  auto out = ops::layer_norm(x.value(), scale, beta.defined() ? beta.value() : Tensor<T, D>{}, eps);
  return make_result<T, D>(std::move(out.y), {x, gamma, beta},
                           [x, gamma, beta, scale, mean = out.mean, rstd = out.rstd](const Tensor<T, D>& g) {
                             const bool parameters = gamma.requires_grad() || beta.requires_grad();
                             auto grad = ops::layer_norm_gradient(g, x.value(), scale, mean, rstd, parameters);
                             if (x.requires_grad()) x.accumulate(std::move(grad.x));
                             if (gamma.requires_grad()) gamma.accumulate(std::move(grad.gamma));
                             if (beta.requires_grad()) beta.accumulate(std::move(grad.beta));
                           });
}

}  // namespace hypersd::autograd
