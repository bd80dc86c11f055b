// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/progress.hpp>
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/embedded_guidance.hpp>
#include <hypersd/diffusion/solver.hpp>
#include <hypersd/diffusion/timesteps.hpp>
#include <utility>
#include <vector>

namespace hypersd::diffusion {

/// What a call of a sampler may choose.
struct SampleOptions {
  std::uint64_t seed = 0;                ///< of the noise that the solver injects
  EndPoint end = EndPoint::first_entry;  ///< where the last step lands
  Progress progress{};                   ///< phase `sample`, one event a step
  std::vector<double> guidance{};        ///< scale of each sample; empty: the guidance policy's for all
  std::int64_t first_sample = 0;         ///< number of the first sample when a batch is drawn in parts
  bool diffusers_prev = false;           ///< t - floor(T / n) as the next time, for comparison with diffusers' DDIM
};

/// One planned step: the times it spans, and each call of the network with the update that follows.
struct PlannedStep {
  StepTimes times;
  std::vector<Evaluation> evaluations;
};

/// Called after every step as `observer(step, times, x)`; does nothing. x is overwritten by the next step: `clone()`
/// it.
struct NoObserver {
  template <class X>
  void operator()(int, StepTimes, const X&) const {}
};

/// Takes a denoiser from noise to data. Solver, schedule, prediction type and guidance are policies; each update is
/// one fused pass over the tensor. The same numbers come out for any thread count and batch split.
template <Solver S, NoiseSchedule C, Prediction P, Guidance G = NoGuidance>
class Sampler {
  static_assert(PredictableOn<P, C>,
                "a noise prediction says nothing about data at zero terminal SNR: use Velocity or X0");

 public:
  /// Throws OptionError for a schedule that is none.
  Sampler(typename S::Options solver = {}, typename C::Options schedule = {}, typename G::Options guidance = {})
      : solver_{solver}, guidance_{guidance}, table_(noise_table(C{schedule})) {}

  [[nodiscard]] const NoiseTable& table() const { return table_; }
  [[nodiscard]] const S& solver() const { return solver_; }

  /// The evaluations and coefficients of a run: time i to time i + 1, the last to the end point. Throws OptionError for
  /// a list that is empty, does not descend or leaves the table.
  [[nodiscard]] std::vector<PlannedStep> plan(const Steps& steps, const SampleOptions& options = {}) const {
    const Times times = steps.times(table_.size());
    const int end = time_of(options.end), stride = table_.size() / static_cast<int>(times.size());
    std::vector<PlannedStep> out;
    for (std::size_t i = 0; i < times.size(); ++i) {
      StepTimes t{times[i], i + 1 < times.size() ? times[i + 1] : end, i + 1 == times.size()};
      if (options.diffusers_prev) t.to = times[i] < stride ? end : times[i] - stride;
      out.push_back({t, evaluations_of<P>(solver_, table_, t, out.empty() ? nullptr : &out.back().times)});
    }
    return out;
  }

  /// Samples from `noise` [B, ...] (standard normal) at the times `steps`: a number (trailing grid) or a list. With
  /// guidance, `condition` is a `GuidedCondition`, or the denoiser has `null_condition(condition)`.
  /// Throws OptionError (steps, options), ShapeError (prediction of another shape), and what the denoiser throws.
  template <class Net, class T, class D, class Condition, class Observer = NoObserver>
  Tensor<T, D> operator()(const Net& net, const Tensor<T, D>& noise, const Condition& condition, const Steps& steps,
                          const SampleOptions& options = {}, Observer&& observer = {}) const {
    require<ShapeError>(noise.rank() > 0 && noise.size() > 0, "sampler: noise of shape ", noise.shape());
    const std::vector<PlannedStep> planned = plan(steps, options);
    const std::int64_t batch = noise.dim(0), offset = options.first_sample * (noise.size() / batch);
    const auto count = static_cast<std::int64_t>(planned.size());
    const auto weights = guidance_of(batch, options);
    report(options.progress, {"sample", 0, count, {}, {}});
    State<T, D> state{noise};
    for (std::int64_t i = 0; i < count; ++i) {
      const PlannedStep& step = planned[static_cast<std::size_t>(i)];
      auto number = static_cast<std::uint64_t>(i);
      for (const Evaluation& e : step.evaluations) {
        const auto t = Numbers<T, D>::full(Shape{batch}, static_cast<Accumulator<T>>(e.time));
        const Branches<T, D> f = evaluate(net, state.x, t, condition, weights);
        advance(state, f, e, weights, stream(options.seed, "solver noise", number), offset);
        number += std::uint64_t{1} << 32;  // a step's later evaluations have noise of their own
      }
      observer(static_cast<int>(i), step.times, state.x);
      report(options.progress, {"sample", i + 1, count, {}, {}});
    }
    return state.x;
  }

 private:
  /// What a run carries from one evaluation to the next.
  template <class T, class D>
  struct State {
    Tensor<T, D> x;
    Tensor<T, D> memory{}, spare{};
    bool ours = false;  // the caller's noise stays; after the first update x is ours to overwrite
  };

  [[nodiscard]] std::vector<GuidanceWeights> guidance_of(std::int64_t batch, const SampleOptions& options) const {
    std::vector<GuidanceWeights> out;
    if constexpr (G::guided || detail::EmbedsGuidance<G>) {
      require<OptionError>(options.guidance.empty() || static_cast<std::int64_t>(options.guidance.size()) == batch,
                           "sampler: ", options.guidance.size(), " guidance scales for ", batch, " samples");
      for (std::int64_t b = 0; b < batch; ++b)
        out.push_back(guidance_weights(options.guidance.empty() ? guidance_.options.scale
                                                                : options.guidance[static_cast<std::size_t>(b)]));
    } else {
      require<OptionError>(options.guidance.empty(), "sampler: guidance scales given, but its policy is NoGuidance");
    }
    return out;
  }

  template <class Net, class T, class D, class Condition>
  static Branches<T, D> evaluate(const Net& net, const Tensor<T, D>& x, const Numbers<T, D>& t,
                                 const Condition& condition, const std::vector<GuidanceWeights>& weights) {
    if constexpr (!G::guided) {
      if constexpr (detail::is_guided<Condition>)
        return evaluate(net, x, t, condition.conditional, weights);
      else if constexpr (detail::EmbedsGuidance<G>)
        return {predict_embedded(net, x, t, condition, weights), {}};
      else
        return {predict(net, x, t, condition), {}};
    } else {
      const bool both = std::any_of(weights.begin(), weights.end(), [](const auto& w) { return w.unconditional != 0; });
      if constexpr (detail::is_guided<Condition>) {
        return predict_branches(net, x, t, condition, both);
      } else {
        static_assert(
            requires { net.null_condition(condition); },
            "guidance needs a GuidedCondition{condition, null} or a denoiser with null_condition(condition)");
        return predict_branches(net, x, t, GuidedCondition<Condition>{condition, net.null_condition(condition)}, both);
      }
    }
  }

  template <class Net, class T, class D, class Condition>
  static Tensor<T, D> predict_embedded(const Net& net, const Tensor<T, D>& x, const Numbers<T, D>& t,
                                       const Condition& condition, const std::vector<GuidanceWeights>& weights) {
    constexpr bool embeds = Predictor<GuidedStudent<Net, T, D>, T, D, Condition>;
    static_assert(embeds, "EmbeddedGuidance needs a student with a w-embedding: net(x, t, condition, w)");
    if constexpr (embeds) {
      std::vector<double> shares;
      for (const GuidanceWeights& g : weights) shares.push_back(g.conditional - 1);
      const auto w = sample_scales<T, D>(shares);
      return predict(GuidedStudent<Net, T, D>{net, w}, x, t, condition);
    }
  }

  /// One update with the predictions of its evaluation.
  template <class T, class D>
  void advance(State<T, D>& s, const Branches<T, D>& f, const Evaluation& e,
               const std::vector<GuidanceWeights>& weights, Stream z, std::int64_t offset) const {
    ops::AffineStep<T, D> update;
    if (e.remember || e.update.memory != 0) {
      update = operands_with_memory(s, f, e, weights);
    } else {
      update = operands(s.x, f, e.update, weights);
    }
    const Tensor<T, D> out = s.ours ? s.x : Tensor<T, D>(s.x.shape());
    ops::affine_step_into(out, update, z, offset);
    s.x = out;
    s.ours = true;
  }

  /// The same where a memory is read or written. An update has one operand beside x and the prediction: the branches
  /// must be joined first.
  template <class T, class D>
  ops::AffineStep<T, D> operands_with_memory(State<T, D>& s, const Branches<T, D>& f, const Evaluation& e,
                                             const std::vector<GuidanceWeights>& weights) const {
    Tensor<T, D> guided = f.conditional;
    if constexpr (G::guided) guided = combine_branches(f, weights, guidance_.options.rescale);
    auto update = affine(s.x, guided, e.update);
    if (e.update.memory != 0) {
      require<OptionError>(s.memory.defined(), "sampler: ", S::name, " reads a memory that no step has written");
      update.second = s.memory;
      update.second_scale = every(s.x, e.update.memory);
    }
    if (e.remember) {
      // Into the spare buffer: the update is still to read the old memory.
      if (!s.spare.defined()) s.spare = Tensor<T, D>(s.x.shape());
      ops::affine_step_into(s.spare, affine(s.x, guided, {e.remember->x, e.remember->prediction}));
      std::swap(s.memory, s.spare);
    }
    return update;
  }

  template <class T, class D>
  [[nodiscard]] ops::AffineStep<T, D> operands(const Tensor<T, D>& x, const Branches<T, D>& e, StepCoefficients c,
                                               const std::vector<GuidanceWeights>& weights) const {
    const auto batch = static_cast<std::size_t>(x.dim(0));
    std::vector<double> first(batch, c.prediction), second;
    if constexpr (G::guided) {
      std::vector<double> factors(batch, 1.0);
      if (guidance_.options.rescale != 0 && e.unconditional.defined())
        factors = rescale_factors(e, weights, guidance_.options.rescale);
      for (std::size_t b = 0; b < batch; ++b) {
        first[b] = c.prediction * factors[b] * weights[b].conditional;
        second.push_back(c.prediction * factors[b] * weights[b].unconditional);
      }
    }
    ops::AffineStep<T, D> out = affine(x, e.conditional, c);
    out.first_scale = sample_scales<T, D>(first);
    if (e.unconditional.defined()) {
      out.second = e.unconditional;
      out.second_scale = sample_scales<T, D>(second);
    }
    return out;
  }

  template <class T, class D>
  static ops::AffineStep<T, D> affine(const Tensor<T, D>& x, const Tensor<T, D>& f, StepCoefficients c) {
    ops::AffineStep<T, D> out{x, every(x, c.x), f, every(x, c.prediction)};
    if (c.noise != 0) out.noise_scale = every(x, c.noise);
    return out;
  }
  /// One number for every sample.
  template <class T, class D>
  static auto every(const Tensor<T, D>& x, double value) {
    return sample_scales<T, D>(std::vector<double>(static_cast<std::size_t>(x.dim(0)), value));
  }

  S solver_;
  G guidance_;
  NoiseTable table_;
};

}  // namespace hypersd::diffusion
