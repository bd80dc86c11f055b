// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/group_norm/chunked_gradient.hpp>
#include <hypersd/ops/cuda/group_norm/per_group.hpp>
#include <type_traits>

/// \file
/// Group normalisation: a thread block a group (per_group.hpp), or chunks of positions if groups are large
/// (chunked.hpp, chunked_gradient.hpp).

namespace hypersd::ops::backend {

/// Calls f(std::integral_constant<Activation, activation>).
template <class F>
void with_activation(Activation activation, F&& f) {
  using enum Activation;
  if (activation == silu)
    f(std::integral_constant<Activation, silu>{});
  else
    f(std::integral_constant<Activation, none>{});
}

template <launch::KernelDevice D, class T>
void group_norm(const D& device, const GroupNormGeometry& g, const T* x, const T* gamma, const T* beta, double eps,
                Activation activation, T* y, Accumulator<T>* mean, Accumulator<T>* rstd) {
  with_activation(activation, [&]<Activation act>(std::integral_constant<Activation, act>) {
    if constexpr (sizeof(T) <= 4)
      if (launch::GroupChunks::fits<T>(g, {x, gamma, beta, y}))
        return launch::group_norm_chunked<T, act>(device, g, x, gamma, beta, eps, y, mean, rstd);
    run_blocks(device, "group_norm", launch::GroupNormKernel<T, act>{g, x, gamma, beta, eps, y, mean, rstd});
  });
}

template <launch::KernelDevice D, class T>
void group_norm_gradient(const D& device, const GroupNormGeometry& g, const T* gy, const T* x, const T* gamma,
                         const T* beta, const Accumulator<T>* mean, const Accumulator<T>* rstd, Activation activation,
                         T* gx, Accumulator<T>* gamma_parts, Accumulator<T>* beta_parts) {
  with_activation(activation, [&]<Activation act>(std::integral_constant<Activation, act>) {
    if constexpr (sizeof(T) <= 4)
      if (launch::GroupChunks::fits<T>(g, {gy, x, gamma, beta, gx}))
        return launch::group_norm_gradient_chunked<T, act>(device, g, gy, x, gamma, beta, mean, rstd, gx, gamma_parts,
                                                           beta_parts);
    run_blocks(device, "group_norm_gradient",
               launch::GroupNormGradientKernel<T, act>{g, gy, x, gamma, beta, mean, rstd, gx, gamma_parts, beta_parts});
  });
}

}  // namespace hypersd::ops::backend
