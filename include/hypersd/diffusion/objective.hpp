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

/// What a network is trained on, by distillation or by feedback: `objective.loss(student, teacher, target, batch,
/// randomness)`. It knows nothing of optimisers, adapters or files; the three networks may be any denoisers. Gradients
/// reach the student alone.
template <class O, class Student, class Teacher, class Target, class T, class D, class Condition>
concept Objective = requires(const O& objective, const Student& student, const Teacher& teacher, const Target& target,
                             const Batch<T, D, Condition>& batch) {
  { objective.loss(student, teacher, target, batch, Randomness{}) } -> std::convertible_to<LossResult<T, D>>;
};

}  // namespace hypersd::diffusion
