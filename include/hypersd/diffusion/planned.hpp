// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/objective.hpp>
#include <optional>
#include <utility>

/// \file
/// Iterations that are drawn on the host and computed on the device: what a CUDA graph of a step needs.

namespace hypersd::diffusion {

namespace detail {

template <class C>
concept CopiedByName = requires(const C& c) {
  { clone_batch(c) } -> std::convertible_to<C>;
  copy_batch(c, c);
};

/// Conditions whose contents can be replaced in place: those with `clone_batch(c)` and `copy_batch(to, from)`, tensors,
/// empty structs, and pairs of them.
template <class C>
inline constexpr bool is_replaceable = CopiedByName<C> || is_tensor<C> || std::is_empty_v<C>;
template <class C>
inline constexpr bool is_replaceable<GuidedCondition<C>> = is_replaceable<C>;

template <class C>
C clone_condition(const C& c) {
  if constexpr (is_guided<C>)
    return {clone_condition(c.conditional), clone_condition(c.null)};
  else if constexpr (std::is_empty_v<C>)
    return c;
  else if constexpr (is_tensor<C>)
    return c.clone();
  else
    return clone_batch(c);
}

template <class C>
void copy_condition(const C& to, const C& from) {
  if constexpr (is_guided<C>) {
    copy_condition(to.conditional, from.conditional);
    copy_condition(to.null, from.null);
  } else if constexpr (is_tensor<C>) {
    to.copy_from(from);
  } else if constexpr (!std::is_empty_v<C>) {
    copy_batch(to, from);
  }
}

}  // namespace detail

/// Whether an objective plans iterations on data in T on D.
template <class O, class T, class D>
concept HasPlan = requires(const O& objective, const Shape& shape) {
  objective.template plan<T, D>(shape, Randomness{});
};

/// An objective that does all of an iteration's work on the host first: `plan<T, D>(shape, randomness)` draws for data
/// of `shape` [B, ...] and copies the numbers to the device. `samples_by(plan, student, teacher, target, batch)`, and
/// `learn_from` and `loss_from` on these samples, read nothing from the host and ignore their randomness, so that they
/// are capturable in a CUDA graph. `plan.copy_from(other)` takes the tensors of another iteration's plan into its own;
/// all else that is read of a plan is the same in each iteration.
template <class O, class Student, class Teacher, class Target, class Batch>
concept PlannedObjective = SamplingObjective<O, Student, Teacher, Target, Batch> &&
    requires(const O& objective, const Student& student, const Teacher& teacher, const Target& target,
             const Batch& batch) {
  objective.samples_by(objective.template plan<BatchValue<Batch>, BatchDevice<Batch>>(batch.x0.shape(), Randomness{}),
                       student, teacher, target, batch);
};

/// Stands for the plan of an objective that is no `PlannedObjective`.
struct NoPlan {};

/// The plan of an iteration on `batch`, if the objective has one.
template <class Student, class Teacher, class Target, class O, class Batch>
auto plan_of(const O& objective, const Batch& batch, Randomness random) {
  if constexpr (PlannedObjective<O, Student, Teacher, Target, Batch>)
    return objective.template plan<BatchValue<Batch>, BatchDevice<Batch>>(batch.x0.shape(), random);
  else
    return NoPlan{};
}

/// Batches whose contents can be replaced in place.
template <class B>
inline constexpr bool is_held = false;
/// Those whose conditions are.
template <class T, class D, class C>
inline constexpr bool is_held<Batch<T, D, C>> = detail::is_replaceable<C>;

/// Copies `now` into the tensors of what is held, which a captured step reads; the first is kept as it is, of a batch a
/// copy. Throws ShapeError for another size than the first.
template <class Plan>
requires requires(const Plan& p) { p.copy_from(p); }
void hold(std::optional<Plan>& held, Plan now) {
  if (held)
    held->copy_from(now);
  else
    held.emplace(std::move(now));
}
/// The same of a batch.
template <class T, class D, class C>
requires detail::is_replaceable<C>
void hold(std::optional<Batch<T, D, C>>& held, const Batch<T, D, C>& now) {
  if (held) {
    held->x0.copy_from(now.x0);
    detail::copy_condition(held->condition, now.condition);
    if (held->noise.defined()) held->noise.copy_from(now.noise);
  } else {
    held = {now.x0.clone(), detail::clone_condition(now.condition),
            now.noise.defined() ? now.noise.clone() : now.noise};
  }
}

}  // namespace hypersd::diffusion
