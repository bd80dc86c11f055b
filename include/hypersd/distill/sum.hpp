// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/planned.hpp>
#include <hypersd/distill/objective.hpp>
#include <string>
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

/// The weighted sum of objectives on one batch; an objective itself. What its terms train has names of its own in
/// checkpoints: those of term i begin with `i.`.
template <class... O>
struct Sum : FromSamples<Sum<O...>> {
  std::tuple<Weighted<O>...> terms;
  explicit Sum(Weighted<O>... t) : terms(std::move(t)...) {}

  /// The plans of the terms, if all have one.
  template <class... P>
  struct Plan {
    std::tuple<P...> terms;
    void copy_from(const Plan& other) const {
      [&]<std::size_t... i>(std::index_sequence<i...>) {
        (std::get<i>(terms).copy_from(std::get<i>(other.terms)), ...);
      }
      (std::index_sequence_for<P...>{});
    }
  };
  template <class T, class D>
  requires(diffusion::HasPlan<O, T, D>&&...) auto plan(const Shape& shape, Randomness random) const {
    return std::apply(
        [&](const auto&... term) {
          return Plan<decltype(term.objective.template plan<T, D>(shape, random))...>{
              {term.objective.template plan<T, D>(shape, random)...}};
        },
        terms);
  }
  template <class... P, class Student, class Teacher, class Target, class AnyBatch>
  auto samples_by(const Plan<P...>& plan, const Student& student, const Teacher& teacher, const Target& target,
                  const AnyBatch& batch) const {
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return std::tuple(
          std::get<i>(terms).objective.samples_by(std::get<i>(plan.terms), student, teacher, target, batch)...);
    }
    (std::index_sequence_for<O...>{});
  }

  /// The samples of the terms. `batch` may know more than a `Batch`, for terms that need it.
  template <class Student, class Teacher, class Target, class AnyBatch>
  auto samples(const Student& student, const Teacher& teacher, const Target& target, const AnyBatch& batch,
               Randomness random) const {
    return std::apply(
        [&](const auto&... term) {
          return std::tuple(diffusion::student_samples(term.objective, student, teacher, target, batch, random)...);
        },
        terms);
  }
  template <class... Made, class Student, class Teacher, class Target, class AnyBatch>
  auto loss_from(const std::tuple<Made...>& samples, const Student& student, const Teacher& teacher,
                 const Target& target, const AnyBatch& batch, Randomness random) const {
    using T = diffusion::BatchValue<AnyBatch>;
    LossResult<T, diffusion::BatchDevice<AnyBatch>> out;
    each([&](const auto& term, auto i) {
      auto one = diffusion::loss_from(term.objective, std::get<i>(samples), student, teacher, target, batch, random);
      if (!term.name.empty()) out.diagnostics.emplace_back(term.name, one.loss.value());
      for (auto& d : one.diagnostics) out.diagnostics.push_back(std::move(d));
      const auto scaled =
          term.weight == 1 ? one.loss : autograd::affine(one.loss, static_cast<Accumulator<T>>(term.weight));
      out.loss = out.loss.defined() ? autograd::add(out.loss, scaled) : scaled;
    });
    return out;
  }
  /// What the terms train, in order.
  template <class... Made, class Student, class Teacher, class Target, class AnyBatch, class Average>
  requires(LearningObjective<O, Student, Teacher, Target, AnyBatch> ||
           ...) void learn_from(const std::tuple<Made...>& samples, const Student& student, const Teacher& teacher,
                                const Target& target, const AnyBatch& batch, Randomness random,
                                const Average& average) const {
    each([&](const auto& term, auto i) {
      diffusion::learn_from(term.objective, std::get<i>(samples), student, teacher, target, batch, random, average);
    });
  }
  /// What the terms train, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    each([&](const auto& term, auto i) {
      const std::string own = prefix + std::to_string(i) + ".";
      if constexpr (requires { term.objective.visit_state(f, own); }) term.objective.visit_state(f, own);
    });
  }

 private:
  /// f(term, i) for each term, i a constant.
  template <class F>
  void each(F&& f) const {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (f(std::get<i>(terms), std::integral_constant<std::size_t, i>{}), ...);
    }
    (std::index_sequence_for<O...>{});
  }
};
/// The weighted sum of objectives: `sum_of(weighted(1, a), weighted(0.5, b))`.
template <class... O>
Sum<O...> sum_of(Weighted<O>... terms) {
  return Sum<O...>(std::move(terms)...);
}

}  // namespace hypersd::distill
