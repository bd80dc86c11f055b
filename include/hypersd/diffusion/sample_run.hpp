// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/sample_table.hpp>
#include <hypersd/diffusion/step.hpp>
#include <hypersd/ops/affine_step.hpp>

namespace hypersd::diffusion {

/// One planned step: the times it spans, and each call of the network with the update that follows.
struct PlannedStep {
  StepTimes times;
  std::vector<Evaluation> evaluations;
};

/// The stream of noise that evaluation `e` of step `i` of a run draws from.
inline Stream solver_noise(std::uint64_t seed, std::size_t i, std::size_t e) {
  return stream(seed, "solver noise", i + (std::uint64_t{e} << 32));
}

/// A planned run of a batch, with its times and coefficients on the device: they are copied there once, before the
/// first step. Made by `Sampler::prepare`.
template <class T, class D>
class SampleRun {
 public:
  using A = Accumulator<T>;

  /// Tensors [B] of one evaluation; those that it has no use for are undefined.
  struct Operands {
    Numbers<T, D> time;
    Numbers<T, D> x, prediction;               ///< of the update; the latter without guidance
    Numbers<T, D> conditional, unconditional;  ///< the update's shares of the branches of guidance
    Numbers<T, D> noise, memory;               ///< of the update
    Numbers<T, D> remember_x, remember_prediction;
  };

  /// `weights` is empty without guidance. With `embedded`, the network itself takes conditional - 1.
  SampleRun(std::vector<PlannedStep> steps, std::int64_t batch, const std::vector<GuidanceWeights>& weights,
            bool embedded)
      : steps_(std::move(steps)), batch_(batch), scales_(batch) {
    const bool guided = !weights.empty() && !embedded;
    const auto share = [&](double scale, double GuidanceWeights::*side) {
      return [&weights, scale, side](std::size_t b) { return scale * weights[b].*side; };
    };
    for (const PlannedStep& step : steps_) {
      for (const Evaluation& e : step.evaluations) {
        Rows r;
        r[time] = scales_.add(e.time);
        r[x] = scales_.add(e.update.x);
        r[prediction] = scales_.add(e.update.prediction);
        if (guided) r[conditional] = scales_.add(share(e.update.prediction, &GuidanceWeights::conditional));
        if (guided) r[unconditional] = scales_.add(share(e.update.prediction, &GuidanceWeights::unconditional));
        if (e.update.noise != 0) r[noise] = scales_.add(e.update.noise);
        if (e.update.memory != 0) r[memory] = scales_.add(e.update.memory);
        if (e.remember) r[remember_x] = scales_.add(e.remember->x);
        if (e.remember) r[remember_prediction] = scales_.add(e.remember->prediction);
        rows_.push_back(r);
      }
    }
    if (guided) {
      weights_[0] = scales_.add(share(1, &GuidanceWeights::conditional));
      weights_[1] = scales_.add(share(1, &GuidanceWeights::unconditional));
      for (const GuidanceWeights& w : weights) both_ = both_ || w.unconditional != 0;
    }
    if (embedded) weights_[0] = scales_.add([&](std::size_t b) { return weights[b].conditional - 1; });
    scales_.upload();
  }

  [[nodiscard]] const std::vector<PlannedStep>& steps() const { return steps_; }
  [[nodiscard]] std::int64_t batch() const { return batch_; }
  /// Evaluations of all steps.
  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  /// Tensors of evaluation number `n` of the run.
  [[nodiscard]] Operands operands(std::size_t n) const {
    const Rows& r = rows_[n];
    const auto row = [&](int which) {
      const int i = r[static_cast<std::size_t>(which)];
      return i < 0 ? Numbers<T, D>{} : scales_.row(i);
    };
    return {scales_.row(r[time]), row(x),      row(prediction), row(conditional),        row(unconditional),
            row(noise),           row(memory), row(remember_x), row(remember_prediction)};
  }
  /// Whether any sample needs the unconditional branch.
  [[nodiscard]] bool both_branches() const { return both_; }
  /// The weights of guidance, [B] each.
  [[nodiscard]] SampleWeights<T, D> weights() const { return {scales_.row(weights_[0]), scales_.row(weights_[1])}; }
  /// What a network with embedded guidance takes, [B].
  [[nodiscard]] Numbers<T, D> embedded_weights() const { return scales_.row(weights_[0]); }

 private:
  enum Row { time, x, prediction, conditional, unconditional, noise, memory, remember_x, remember_prediction, rows };
  struct Rows : std::array<int, rows> {
    Rows() { this->fill(-1); }
  };

  std::vector<PlannedStep> steps_;
  std::int64_t batch_;
  std::vector<Rows> rows_;
  std::array<int, 2> weights_{-1, -1};
  bool both_ = false;
  SampleTable<A, D> scales_;
};

}  // namespace hypersd::diffusion
