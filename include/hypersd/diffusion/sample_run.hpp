// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
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
    Numbers<T, D> time, end;                   ///< what the network is given; `end` those with a second time alone
    Numbers<T, D> x, prediction;               ///< of the update; the latter without guidance
    Numbers<T, D> conditional, unconditional;  ///< the update's shares of the branches of guidance
    Numbers<T, D> noise;                       ///< of the update
    std::array<Numbers<T, D>, kMemories> memory;
    Numbers<T, D> input;           ///< what x is multiplied by for the network
    Numbers<T, D> x0_x, x0_f;      ///< clean data from x and the prediction, where they are clipped
    Numbers<T, D> back_x, back_f;  ///< the prediction from x and clean data
    /// Coefficients of one new memory.
    struct Memory {
      Numbers<T, D> x, prediction;
      std::array<Numbers<T, D>, kMemories> memory;
    };
    std::array<Memory, kMemories> remember;
  };

  /// `weights` is empty without guidance. With `embedded`, the network itself takes conditional - 1. With `clips`,
  /// clean data are clipped before the update; with `clip_keeps_eps` only what they themselves contribute to it
  /// changes.
  template <DiffusionProcess Process>
  SampleRun(const Process& process, std::vector<PlannedStep> steps, std::int64_t batch,
            const std::vector<GuidanceWeights>& weights, bool embedded, bool clips = false, bool clip_keeps_eps = false)
      : steps_(std::move(steps)), batch_(batch), scales_(batch) {
    const bool guided = !weights.empty() && !embedded;
    const auto share = [&](double scale, double GuidanceWeights::*side) {
      return [&weights, scale, side](std::size_t b) { return scale * weights[b].*side; };
    };
    for (const PlannedStep& step : steps_) {
      for (const Evaluation& e : step.evaluations) {
        Rows r;
        r[time] = scales_.add(process.network_time(e.time));
        r[end] = scales_.add(process.network_time(std::max(e.jump_end.value_or(e.time), process.first())));
        if constexpr (Process::scales_input) r[input] = scales_.add(process.input_scale(e.time));
        r[x] = scales_.add(e.update.x);
        r[prediction] = scales_.add(e.update.prediction);
        if (guided) r[conditional] = scales_.add(share(e.update.prediction, &GuidanceWeights::conditional));
        if (guided) r[unconditional] = scales_.add(share(e.update.prediction, &GuidanceWeights::unconditional));
        if (e.update.noise != 0) r[noise] = scales_.add(e.update.noise);
        add_memory(r, memory, e.update);
        require<OptionError>(e.remember.size() <= kMemories, "sampler: a solver remembers ", e.remember.size(),
                             " tensors; at most ", kMemories, " are supported");
        for (std::size_t i = 0; i < e.remember.size(); ++i) {
          const int row = remember + static_cast<int>(i * (2 + kMemories));
          r[row] = scales_.add(e.remember[i].x);
          r[row + 1] = scales_.add(e.remember[i].prediction);
          add_memory(r, row + 2, e.remember[i]);
        }
        if (clips) {
          const Form x0 = process.x0(e.time), back = convert_form(X0{}, process.prediction(), process.level(e.time));
          r[x0_x] = scales_.add(x0.x), r[x0_f] = scales_.add(x0.prediction);
          r[back_x] = scales_.add(back.x), r[back_f] = scales_.add(back.prediction);
          if (clip_keeps_eps) r[back_f] = scales_.add(share_of_x0(process, e));
        }
        rows_.push_back(r);
      }
    }
    if (guided) {
      weights_[0] = scales_.add(share(1, &GuidanceWeights::conditional));
      weights_[1] = scales_.add(share(1, &GuidanceWeights::unconditional));
      for (const GuidanceWeights& w : weights) both_ = both_ || w.unconditional != 0;
    }
    if (embedded) weights_[0] = scales_.add([&](std::size_t b) { return weights[b].conditional - 1; });
    one_ = scales_.add(1.0);
    scales_.upload();
  }

  [[nodiscard]] const std::vector<PlannedStep>& steps() const { return steps_; }
  [[nodiscard]] std::int64_t batch() const { return batch_; }
  /// Evaluations of all steps.
  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  /// Tensors of evaluation number `n` of the run.
  [[nodiscard]] Operands operands(std::size_t n) const {
    const Rows& r = rows_[n];
    const auto row = [&](int which) { return r[which] < 0 ? Numbers<T, D>{} : scales_.row(r[which]); };
    Operands out{row(time), row(end),   row(x),    row(prediction), row(conditional), row(unconditional), row(noise),
                 {},        row(input), row(x0_x), row(x0_f),       row(back_x),      row(back_f),        {}};
    for (std::size_t i = 0; i < kMemories; ++i) {
      out.memory[i] = row(memory + static_cast<int>(i));
      const int first = remember + static_cast<int>(i * (2 + kMemories));
      out.remember[i] = {row(first), row(first + 1), {}};
      for (std::size_t j = 0; j < kMemories; ++j) out.remember[i].memory[j] = row(first + 2 + static_cast<int>(j));
    }
    return out;
  }
  /// 1 for each sample, [B].
  [[nodiscard]] Numbers<T, D> one() const { return scales_.row(one_); }
  /// Whether any sample needs the unconditional branch.
  [[nodiscard]] bool both_branches() const { return both_; }
  /// The weights of guidance, [B] each.
  [[nodiscard]] SampleWeights<T, D> weights() const { return {scales_.row(weights_[0]), scales_.row(weights_[1])}; }
  /// What a network with embedded guidance takes, [B].
  [[nodiscard]] Numbers<T, D> embedded_weights() const { return scales_.row(weights_[0]); }

 private:
  enum Row {
    time,
    end,
    input,
    x,
    prediction,
    conditional,
    unconditional,
    noise,
    x0_x,
    x0_f,
    back_x,
    back_f,
    memory,
    remember = memory + static_cast<int>(kMemories),
    rows = remember + static_cast<int>(kMemories * (2 + kMemories))
  };
  /// Numbers of rows of the table; -1 where an evaluation has no use for one.
  struct Rows {
    std::array<int, rows> number;
    Rows() { number.fill(-1); }
    int& operator[](int i) { return number[static_cast<std::size_t>(i)]; }
    int operator[](int i) const { return number[static_cast<std::size_t>(i)]; }
  };

  /// By how much the prediction must change for each change of clean data while the noise stays: the update's
  /// coefficient of x0, x and f written in x0 and eps, in units of its coefficient of f.
  template <class Process>
  static double share_of_x0(const Process& process, const Evaluation& e) {
    if (e.update.prediction == 0) return 0;
    const Level l = process.level(e.time);
    return (e.update.x * l.alpha + e.update.prediction * process.target(e.time).x0) / e.update.prediction;
  }
  void add_memory(Rows& r, int first, const StepCoefficients& c) {
    for (std::size_t i = 0; i < kMemories; ++i)
      if (c.memory[i] != 0) r[first + static_cast<int>(i)] = scales_.add(c.memory[i]);
  }

  std::vector<PlannedStep> steps_;
  std::int64_t batch_;
  std::vector<Rows> rows_;
  std::array<int, 2> weights_{-1, -1};
  int one_ = -1;
  bool both_ = false;
  SampleTable<A, D> scales_;
};

}  // namespace hypersd::diffusion
