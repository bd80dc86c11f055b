// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/autograd/variable.hpp>

namespace hypersd::distill {

/// A measure d(x, y) of how far the student's x is from the target y: a one-element variable, differentiable in x. `where`
/// tells a distance that needs it (an adversarial one) at which times and under which condition both are.
template <class M, class T, class D, class Where>
concept Distance = requires(const M& d, const Var<T, D>& x, const Tensor<T, D>& y, const Where& where) {
  { d(x, y, where) } -> std::convertible_to<Var<T, D>>;
};

/// Times and condition of the samples that a distance compares.
template <class T, class D, class Condition>
struct Where {
  Tensor<T, D> t;  ///< [B]
  const Condition& condition;
};

}  // namespace hypersd::distill
