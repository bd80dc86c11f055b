// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/progress.hpp>
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/guidance.hpp>
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

/// One planned evaluation: the network is asked at `time`, then the step is taken.
struct PlannedStep {
  StepTimes times;
  StepCoefficients coefficients;
};

/// Called after every step as `observer(step, times, x)`; does nothing. x is overwritten by the next step: `clone()`
/// it.
struct NoObserver {
  template <class X>
  void operator()(int, StepTimes, const X&) const {}
};

/// Takes a denoiser from noise to data. Solver, schedule, prediction type and guidance are policies; each step is one
/// fused pass over the tensor. The same numbers come out for any thread count and batch split.
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
      out.push_back({t, solver_.template step<P>(table_, t)});
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
    Tensor<T, D> x = noise;
    for (std::int64_t i = 0; i < count; ++i) {
      const PlannedStep& step = planned[static_cast<std::size_t>(i)];
      const auto t = Tensor<T, D>::full(Shape{batch}, static_cast<T>(step.times.from));
      const Branches<T, D> e = evaluate(net, x, t, condition, weights);
      // The caller's noise stays; from the second step on x is ours to overwrite.
      const Tensor<T, D> out = i == 0 ? Tensor<T, D>(x.shape()) : x;
      ops::affine_step_into(out, operands(x, e, step.coefficients, weights),
                            stream(options.seed, "solver noise", static_cast<std::uint64_t>(i)), offset);
      x = out;
      observer(static_cast<int>(i), step.times, x);
      report(options.progress, {"sample", i + 1, count, {}, {}});
    }
    return x;
  }

 private:
  [[nodiscard]] std::vector<GuidanceWeights> guidance_of(std::int64_t batch, const SampleOptions& options) const {
    std::vector<GuidanceWeights> out;
    if constexpr (G::guided) {
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
  static Branches<T, D> evaluate(const Net& net, const Tensor<T, D>& x, const Tensor<T, D>& t,
                                 const Condition& condition, const std::vector<GuidanceWeights>& weights) {
    if constexpr (!G::guided) {
      if constexpr (detail::is_guided<Condition>)
        return {predict(net, x, t, condition.conditional), {}};
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
    ops::AffineStep<T, D> out{x, sample_scales<T, D>(std::vector<double>(batch, c.x)), e.conditional,
                              sample_scales<T, D>(first)};
    if (e.unconditional.defined()) {
      out.second = e.unconditional;
      out.second_scale = sample_scales<T, D>(second);
    }
    if (c.noise != 0) out.noise_scale = sample_scales<T, D>(std::vector<double>(batch, c.noise));
    return out;
  }

  S solver_;
  G guidance_;
  NoiseTable table_;
};

}  // namespace hypersd::diffusion
