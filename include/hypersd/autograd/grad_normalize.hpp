// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_map.hpp>
#include <hypersd/ops/normalize.hpp>

namespace hypersd::autograd {

namespace detail {

/// The tangent of gamma xh + beta from that of the normalized value xh, `normalized()`; `tangent` is d xh, undefined
/// for zero. [..., C]
template <class T, class D, class Normalized>
Tensor<T, D> scaled_tangent(Tensor<T, D> tangent, const Shape& shape, const Var<T, D>& gamma, const Var<T, D>& beta,
                            Normalized&& normalized) {
  Tensor<T, D> sum;
  if (tangent.defined())
    sum = gamma.defined() ? ops::map(ops::Mul{}, tangent, ops::per_channel(gamma.value())) : std::move(tangent);
  if (gamma.has_tangent()) add_tangent(sum, ops::map(ops::Mul{}, normalized(), ops::per_channel(gamma.tangent())));
  if (beta.has_tangent()) {
    Tensor<T, D> shift(shape);
    ops::map_into(shift, ops::Identity{}, ops::per_channel(beta.tangent()));
    add_tangent(sum, std::move(shift));
  }
  return sum;
}

}  // namespace detail

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
      },
      [&] {
        // Without scale the Jacobian of a normalization is symmetric: the gradient kernel computes the tangent too.
        Tensor<T, D> tangent;
        if (x.has_tangent())
          tangent = ops::group_norm_gradient(x.tangent(), x.value(), Tensor<T, D>{}, Tensor<T, D>{}, out.mean, out.rstd,
                                             ops::Activation::none, false)
                        .x;
        tangent = detail::scaled_tangent(std::move(tangent), x.shape(), gamma, beta, [&] {
          return ops::group_norm(x.value(), Tensor<T, D>{}, Tensor<T, D>{}, groups, eps).y;
        });
        if (activation == ops::Activation::none) return tangent;
        const auto before = ops::group_norm(x.value(), scale, shift, groups, eps).y;
        return ops::map(detail::Chain<0, ops::Silu>{}, tangent, before);
      });
}

/// Differentiable `ops::layer_norm` over the last axis: x [..., C], gamma and beta [C] or undefined.
template <class T, class D>
Var<T, D> layer_norm(const Var<T, D>& x, const Var<T, D>& gamma, const Var<T, D>& beta, double eps = 1e-5) {
  const Tensor<T, D> scale = gamma.defined() ? gamma.value() : Tensor<T, D>{};
  auto out = ops::layer_norm(x.value(), scale, beta.defined() ? beta.value() : Tensor<T, D>{}, eps);
  return make_result<T, D>(
      std::move(out.y), {x, gamma, beta},
      [x, gamma, beta, scale, mean = out.mean, rstd = out.rstd](const Tensor<T, D>& g) {
        const bool parameters = gamma.requires_grad() || beta.requires_grad();
        auto grad = ops::layer_norm_gradient(g, x.value(), scale, mean, rstd, parameters);
        if (x.requires_grad()) x.accumulate(std::move(grad.x));
        if (gamma.requires_grad()) gamma.accumulate(std::move(grad.gamma));
        if (beta.requires_grad()) beta.accumulate(std::move(grad.beta));
      },
      [&] {
        Tensor<T, D> tangent;
        if (x.has_tangent())
          tangent = ops::layer_norm_gradient(x.tangent(), x.value(), Tensor<T, D>{}, out.mean, out.rstd, false).x;
        return detail::scaled_tangent(std::move(tangent), x.shape(), gamma, beta, [&] {
          return ops::layer_norm(x.value(), Tensor<T, D>{}, Tensor<T, D>{}, eps).y;
        });
      });
}

/// Differentiable `ops::rms_norm` over the last axis: x [..., C], gamma [C] or undefined.
template <class T, class D>
Var<T, D> rms_norm(const Var<T, D>& x, const Var<T, D>& gamma, double eps = 1e-6) {
  const Tensor<T, D> scale = gamma.defined() ? gamma.value() : Tensor<T, D>{};
  auto out = ops::rms_norm(x.value(), scale, eps);
  return make_result<T, D>(
      std::move(out.y), {x, gamma},
      [x, gamma, scale, mean = out.mean, rstd = out.rstd](const Tensor<T, D>& g) {
        auto grad = ops::rms_norm_gradient(g, x.value(), scale, mean, rstd, gamma.requires_grad());
        if (x.requires_grad()) x.accumulate(std::move(grad.x));
        if (gamma.requires_grad()) gamma.accumulate(std::move(grad.gamma));
      },
      [&] {
        Tensor<T, D> tangent;
        if (x.has_tangent())
          tangent = ops::rms_norm_gradient(x.tangent(), x.value(), Tensor<T, D>{}, out.mean, out.rstd, false).x;
        return detail::scaled_tangent(std::move(tangent), x.shape(), gamma, Var<T, D>{},
                                      [&] { return ops::rms_norm(x.value(), Tensor<T, D>{}, eps).y; });
      });
}

}  // namespace hypersd::autograd
