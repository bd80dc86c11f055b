// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/objective.hpp>

namespace hypersd::distill {

/// A measure d(x, y) of how far the student's x is from the target y: a one-element variable, differentiable in x.
/// `where` tells a distance that needs it (an adversarial one) at which times and under which condition both are.
template <class M, class T, class D, class Where>
concept Distance = requires(const M& d, const Var<T, D>& x, const Tensor<T, D>& y, const Where& where) {
  { d(x, y, where) } -> std::convertible_to<Var<T, D>>;
};

/// A distance that trains a network of its own: `d.learn(x, y, where, average)` is one update on detached samples.
template <class M, class T, class D, class Where>
concept LearningDistance = requires(const M& d, const Tensor<T, D>& x, const Where& where) {
  d.learn(x, x, where, OwnGradients{});
};

/// Whether a distance trains something with its present settings; one without `learns()` does.
template <class M>
bool trains(const M& distance) {
  if constexpr (requires { distance.learns(); })
    return distance.learns();
  else
    return true;
}

/// Times and condition of the samples that a distance compares.
template <class T, class D, class Condition>
struct Where {
  Numbers<T, D> t;  ///< [B]
  const Condition& condition;
  /// [B]: an elementwise distance multiplies both sides with it; undefined for 1. A critic sees samples as they are.
  Numbers<T, D> scale{};
};

/// metric(x, y) of both sides scaled as `where` asks.
template <class T, class D, class Where, class Metric>
Var<T, D> compare(const Var<T, D>& x, const Tensor<T, D>& y, const Where& where, Metric&& metric) {
  if (!where.scale.defined()) return metric(x, y);
  const auto w = ops::per_sample(where.scale);
  return metric(autograd::mul(x, w), ops::map(ops::Mul{}, y, w));
}

}  // namespace hypersd::distill
