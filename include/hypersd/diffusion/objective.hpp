// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
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

/// Element type of a batch.
template <class AnyBatch>
using BatchValue = typename decltype(AnyBatch::x0)::value_type;
/// Its device.
template <class AnyBatch>
using BatchDevice = typename decltype(AnyBatch::x0)::device_type;

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

/// A number to log beside a loss. One that is still on the device is copied to the host only where it is read, so that
/// a step does not wait for it.
class Reading {
 public:
  Reading(double value) : value_(value) {}
  /// The only element of `value`.
  template <class T, class D>
  Reading(Tensor<T, D> value) : later_([v = std::move(value)] { return static_cast<double>(v.item()); }) {}
  /// What `later()` gives when it is read.
  template <std::invocable F>
  Reading(F later) : later_(std::move(later)) {}

  /// Synchronizes with the device unless the number is on the host.
  [[nodiscard]] double value() const { return later_ ? later_() : value_; }
  explicit operator double() const { return value(); }

 private:
  double value_ = 0;
  std::function<double()> later_{};
};

/// Readings by name.
using Readings = std::vector<std::pair<std::string, Reading>>;

/// A loss and named numbers to log beside it.
template <class T, class D>
struct LossResult {
  Var<T, D> loss;
  Readings diagnostics;

  /// The diagnostic called `name`. Throws OptionError if there is none.
  [[nodiscard]] double diagnostic(std::string_view name) const {
    for (const auto& [own, reading] : diagnostics)
      if (own == name) return reading.value();
    fail<OptionError>("no diagnostic called '", name, "'");
  }
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
/// teacher, target, batch, randomness, average)`, before the loss of the same iteration, from the same draws.
template <class O, class Student, class Teacher, class Target, class Batch>
concept LearningObjective = requires(const O& objective, const Student& student, const Teacher& teacher,
                                     const Target& target, const Batch& batch) {
  objective.learn(student, teacher, target, batch, Randomness{}, OwnGradients{});
};

/// An objective whose `learn` and `loss` use the same samples of the student: `objective.samples(student, teacher,
/// target, batch, randomness)` computes them once for both.
template <class O, class Student, class Teacher, class Target, class Batch>
concept SamplingObjective = requires(const O& objective, const Student& student, const Teacher& teacher,
                                     const Target& target, const Batch& batch) {
  objective.samples(student, teacher, target, batch, Randomness{});
};

/// Stands for the samples of an objective that is no `SamplingObjective`.
struct NoSamples {};

/// What `learn_from` and `loss_from` of one iteration share.
template <class O, class Student, class Teacher, class Target, class Batch>
auto student_samples(const O& objective, const Student& student, const Teacher& teacher, const Target& target,
                     const Batch& batch, Randomness random) {
  if constexpr (SamplingObjective<O, Student, Teacher, Target, Batch>)
    return objective.samples(student, teacher, target, batch, random);
  else
    return NoSamples{};
}
/// Trains what the objective trains, if anything, on the `samples` of the same arguments. `average(parameters)` may
/// replace gradients by their means over several processes.
template <class O, class Samples, class Student, class Teacher, class Target, class Batch, class Average = OwnGradients>
void learn_from(const O& objective, const Samples& samples, const Student& student, const Teacher& teacher,
                const Target& target, const Batch& batch, Randomness random, const Average& average = {}) {
  if constexpr (LearningObjective<O, Student, Teacher, Target, Batch>) {
    if constexpr (std::same_as<Samples, NoSamples>)
      objective.learn(student, teacher, target, batch, random, average);
    else
      objective.learn_from(samples, student, teacher, target, batch, random, average);
  }
}
/// The loss on the `samples` of the same arguments.
template <class O, class Samples, class Student, class Teacher, class Target, class Batch>
auto loss_from(const O& objective, const Samples& samples, const Student& student, const Teacher& teacher,
               const Target& target, const Batch& batch, Randomness random) {
  if constexpr (std::same_as<Samples, NoSamples>)
    return objective.loss(student, teacher, target, batch, random);
  else
    return objective.loss_from(samples, student, teacher, target, batch, random);
}

/// An iteration of an objective: what it trains besides the student, then the loss, on the same samples.
template <class O, class Student, class Teacher, class Target, class Batch, class Average = OwnGradients>
auto learn_and_loss(const O& objective, const Student& student, const Teacher& teacher, const Target& target,
                    const Batch& batch, Randomness random, const Average& average = {}) {
  const auto samples = student_samples(objective, student, teacher, target, batch, random);
  learn_from(objective, samples, student, teacher, target, batch, random, average);
  return loss_from(objective, samples, student, teacher, target, batch, random);
}

/// Base of a `SamplingObjective`: its `loss` and `learn`. `Self` has
///
///   samples(student, teacher, target, batch, random)                       the student's samples
///   loss_from(samples, student, teacher, target, batch, random)            their loss
///   learn_from(samples, student, teacher, target, batch, random, average)  optional: one update of what is trained
///   learns()                                                               optional: whether it is trained now
template <class Self>
struct FromSamples {
  template <class Student, class Teacher, class Target, class AnyBatch>
  auto loss(const Student& student, const Teacher& teacher, const Target& target, const AnyBatch& batch,
            Randomness random) const -> LossResult<BatchValue<AnyBatch>, BatchDevice<AnyBatch>> {
    return self().loss_from(self().samples(student, teacher, target, batch, random), student, teacher, target, batch,
                            random);
  }
  /// From samples of its own, without a tape.
  template <class Student, class Teacher, class Target, class AnyBatch, class Average = OwnGradients>
  void learn(const Student& student, const Teacher& teacher, const Target& target, const AnyBatch& batch,
             Randomness random, const Average& average = {}) const requires requires(const Self& s) {
    s.learn_from(s.samples(student, teacher, target, batch, random), student, teacher, target, batch, random, average);
  }
  {
    if constexpr (requires(const Self& s) { s.learns(); })
      if (!self().learns()) return;
    const auto made = [&] {
      const autograd::NoGrad guard;
      return self().samples(student, teacher, target, batch, random);
    }();
    self().learn_from(made, student, teacher, target, batch, random, average);
  }

 private:
  [[nodiscard]] const Self& self() const { return static_cast<const Self&>(*this); }
};

}  // namespace hypersd::diffusion
