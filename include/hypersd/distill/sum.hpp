// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/objective.hpp>
#include <tuple>
#include <utility>

namespace hypersd::distill {

/// An objective with its weight in a sum, and the name under which its value is logged.
template <class O>
struct Weighted {
  double weight = 1;
  O objective;
  std::string name = {};
};
/// A term of `sum_of`; its value is logged as `name` unless that is empty.
template <class O>
Weighted<O> weighted(double weight, O objective, std::string name = {}) {
  return {weight, std::move(objective), std::move(name)};
}

/// The weighted sum of objectives on one batch; an objective itself.
template <class... O>
struct Sum {
  std::tuple<Weighted<O>...> terms;

  /// `batch` may know more than a `Batch`, for terms that need it.
  template <class Student, class Teacher, class Target, class AnyBatch>
  auto loss(const Student& student, const Teacher& teacher, const Target& target, const AnyBatch& batch,
            Randomness random) const {
    using T = typename decltype(batch.x0)::value_type;
    LossResult<T, typename decltype(batch.x0)::device_type> out;
    const auto add = [&](const auto& term) {
      auto one = term.objective.loss(student, teacher, target, batch, random);
      if (!term.name.empty()) out.diagnostics.emplace_back(term.name, static_cast<double>(one.loss.item()));
      for (auto& d : one.diagnostics) out.diagnostics.push_back(std::move(d));
      const auto scaled =
          term.weight == 1 ? one.loss : autograd::affine(one.loss, static_cast<Accumulator<T>>(term.weight));
      out.loss = out.loss.defined() ? autograd::add(out.loss, scaled) : scaled;
    };
    std::apply([&](const auto&... term) { (add(term), ...); }, terms);
    return out;
  }

  /// What the terms train, in order.
  template <class Student, class Teacher, class Target, class AnyBatch, class Average = OwnGradients>
  requires(LearningObjective<O, Student, Teacher, Target, AnyBatch> ||
           ...) void learn(const Student& student, const Teacher& teacher, const Target& target, const AnyBatch& batch,
                           Randomness random, const Average& average = {}) const {
    std::apply(
        [&](const auto&... term) {
          (diffusion::learn(term.objective, student, teacher, target, batch, random, average), ...);
        },
        terms);
  }
  /// What the terms train, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    const auto visit = [&](const auto& term) {
      if constexpr (requires { term.objective.visit_state(f, prefix); }) term.objective.visit_state(f, prefix);
    };
    std::apply([&](const auto&... term) { (visit(term), ...); }, terms);
  }
};
/// The weighted sum of objectives: `sum_of(weighted(1, a), weighted(0.5, b))`.
template <class... O>
Sum<O...> sum_of(Weighted<O>... terms) {
  return {{std::move(terms)...}};
}

}  // namespace hypersd::distill
