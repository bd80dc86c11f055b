// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/normalize.hpp>

namespace hypersd::autograd {

namespace detail {

template <class T, class D>
void accumulate_normalize(const Var<T, D>& x, const Var<T, D>& gamma, const Var<T, D>& beta,
                          ops::NormalizeGradients<T, D> g) {
  x.accumulate(std::move(g.x));
  gamma.accumulate(std::move(g.gamma));
  beta.accumulate(std::move(g.beta));
}

}  // namespace detail

/// Differentiable `ops::group_norm` of x [B, ..., C], optionally followed by SiLU.
template <class T, class D>
Var<T, D> group_norm(const Var<T, D>& x, const Var<T, D>& gamma, const Var<T, D>& beta, std::int64_t groups,
                     double eps = 1e-5, ops::Activation act = ops::Activation::none) {
  auto out = ops::group_norm(x.value(), gamma.value(), beta.value(), groups, eps, act);
  return make_result<T, D>(std::move(out.y), {x, gamma, beta},
                           [x, gamma, beta, groups, act, mean = out.mean, rstd = out.rstd](const Tensor<T, D>& g) {
                             detail::accumulate_normalize(
                                 x, gamma, beta,
                                 ops::group_norm_backward(g, x.value(), gamma.value(), beta.value(), mean, rstd,
                                                          groups, act));
                           });
}

/// Differentiable `ops::layer_norm` over the last axis.
template <class T, class D>
Var<T, D> layer_norm(const Var<T, D>& x, const Var<T, D>& gamma, const Var<T, D>& beta, double eps = 1e-5) {
  auto out = ops::layer_norm(x.value(), gamma.value(), beta.value(), eps);
  return make_result<T, D>(std::move(out.y), {x, gamma, beta},
                           [x, gamma, beta, mean = out.mean, rstd = out.rstd](const Tensor<T, D>& g) {
                             detail::accumulate_normalize(
                                 x, gamma, beta, ops::layer_norm_backward(g, x.value(), gamma.value(), mean, rstd));
                           });
}

}  // namespace hypersd::autograd
