// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/objective.hpp>
#include <string>
#include <utility>

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

/// Base of an objective that compares two sides by a distance: its loss, and one update of what the distance trains.
/// `Self` has `distance`, `samples(...)` as in `FromSamples`, whose result has `student` and `target`, and
/// `where(batch, samples)`, which gives a `Where`.
template <class Self, class Metric>
struct FromSides : diffusion::FromSamples<Self> {
  /// Compares both sides.
  template <class Sides, class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_from(const Sides& sides, const Student&, const Teacher&, const Target&,
                             const Batch<T, D, C>& batch, Randomness) const {
    return {own().distance(sides.student, sides.target, own().where(batch, sides)), {}};
  }
  /// Trains the distance's critic on both sides.
  template <class Sides, class Student, class Teacher, class Target, class T, class D, class C, class Average>
  requires LearningDistance<Metric, T, D, Where<T, D, C>>
  void learn_from(const Sides& sides, const Student&, const Teacher&, const Target&, const Batch<T, D, C>& batch,
                  Randomness, const Average& average) const {
    if (learns()) own().distance.learn(sides.student.value(), sides.target, own().where(batch, sides), average);
  }
  [[nodiscard]] bool learns() const { return trains(own().distance); }
  /// What the distance trains, for checkpoints.
  template <class F>
  requires requires(F& f) { std::declval<const Metric&>().visit_state(f, std::string()); }
  void visit_state(F&& f, const std::string& prefix) const { own().distance.visit_state(f, prefix); }

 private:
  [[nodiscard]] const Self& own() const { return static_cast<const Self&>(*this); }
};

}  // namespace hypersd::distill
