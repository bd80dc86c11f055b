// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/philox.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/ops/random.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hypersd::diffusion {

/// Clean samples and their condition, with the null condition for the teacher's guidance.
template <class T, class D, class Condition>
struct Batch {
  Tensor<T, D> x0;  ///< [B, ...]
  GuidedCondition<Condition> condition;
  Tensor<T, D> noise{};  ///< [B, ...] if x0 is where the teacher's ODE takes this noise (paired data); else undefined
};

/// Where an iteration's random numbers come from. What is drawn for a sample depends on its place in the iteration's
/// whole batch, so that a batch cut over several processes is drawn as in one piece.
struct Randomness {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t first_sample = 0;  ///< place of this batch's first sample in the whole batch

  /// The stream called `name` of this iteration.
  [[nodiscard]] constexpr Stream stream(std::string_view name) const {
    return hypersd::stream(seed, name, static_cast<std::uint64_t>(step));
  }
};

/// Standard normals of `shape` [B, ...] from stream `name`, by each sample's place in the whole batch.
template <class T, class D>
Tensor<T, D> normals(const Shape& shape, const Randomness& random, std::string_view name) {
  return ops::normal<T, D>(shape, random.stream(name), random.first_sample * shape.numel_from(1));
}

/// A loss and named numbers to log beside it.
template <class T, class D>
struct LossResult {
  Var<T, D> loss;
  std::vector<std::pair<std::string, double>> diagnostics;
};

/// The gradients of an auxiliary network as one process has them; several processes pass their mean in its place.
struct OwnGradients {
  template <class Parameters>
  void operator()(const Parameters&) const {}
};

/// What a network is trained on, by distillation or by feedback: `objective.loss(student, teacher, target, batch,
/// randomness)`. It knows nothing of optimisers, adapters or files; the three networks may be any denoisers. Gradients
/// reach the student alone, and nothing is trained by it.
template <class O, class Student, class Teacher, class Target, class T, class D, class Condition>
concept Objective = requires(const O& objective, const Student& student, const Teacher& teacher, const Target& target,
                             const Batch<T, D, Condition>& batch) {
  { objective.loss(student, teacher, target, batch, Randomness{}) } -> std::convertible_to<LossResult<T, D>>;
};

/// An objective that trains networks of its own, a critic or a fake score: one update each by `objective.learn(student,
/// teacher, target, batch, randomness, average)`, before the loss of the same iteration. It draws what the loss draws,
/// and computes the student's samples once more, without a tape.
template <class O, class Student, class Teacher, class Target, class Batch>
concept LearningObjective = requires(const O& objective, const Student& student, const Teacher& teacher,
                                     const Target& target, const Batch& batch) {
  objective.learn(student, teacher, target, batch, Randomness{}, OwnGradients{});
};

/// `objective.learn(...)` where there is something to train.
template <class O, class Student, class Teacher, class Target, class Batch, class Average = OwnGradients>
void learn(const O& objective, const Student& student, const Teacher& teacher, const Target& target, const Batch& batch,
           Randomness random, const Average& average = {}) {
  if constexpr (LearningObjective<O, Student, Teacher, Target, Batch>)
    objective.learn(student, teacher, target, batch, random, average);
}

}  // namespace hypersd::diffusion
