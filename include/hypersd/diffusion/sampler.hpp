// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/progress.hpp>
#include <hypersd/diffusion/elementwise.hpp>
#include <hypersd/diffusion/embedded_guidance.hpp>
#include <hypersd/diffusion/sample_run.hpp>
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

/// Called after every step as `observer(step, times, x)`; does nothing. x is overwritten by the next step: `clone()`
/// it.
struct NoObserver {
  template <class X>
  void operator()(int, StepTimes, const X&) const {}
};

/// Takes a denoiser from noise to data. Solver, schedule, prediction type and guidance are policies; each update is
/// one fused pass over the tensor, which holds the denoiser as well where that is an `ElementwiseDenoiser`. All
/// coefficients of a run are copied to the device before its first step. The same numbers come out for any thread count
/// and batch split.
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
    const std::int64_t batch = noise.dim(0), offset = options.first_sample * (noise.size() / batch);
    const auto run = prepare<T, D>(batch, steps, options);
    const auto count = static_cast<std::int64_t>(run.steps().size());
    notify(options.progress, {"sample", 0, count, {}, {}});
    const auto from = [&](std::size_t i, std::size_t e, std::size_t) {
      return ops::StepNoise<D>{solver_noise(options.seed, i, e), offset, {}};
    };
    return sample(run, net, noise, condition, from, [&](std::size_t i, const Tensor<T, D>& x) {
      observer(static_cast<int>(i), run.steps()[i].times, x);
      notify(options.progress, {"sample", static_cast<std::int64_t>(i) + 1, count, {}, {}});
    });
  }

  /// The plan of a batch with its coefficients on the device, for `sample`. Throws OptionError (steps, options).
  template <class T, class D>
  [[nodiscard]] SampleRun<T, D> prepare(std::int64_t batch, const Steps& steps, const SampleOptions& options) const {
    return {plan(steps, options), batch, guidance_of(batch, options), detail::EmbedsGuidance<G>};
  }

  /// A prepared run, which only enqueues work: wrappers record it. Evaluation e of step i, number n of all, draws its
  /// noise from the `ops::StepNoise` that `from(i, e, n)` gives; `finished(i, x)` is called after each step.
  template <class Net, class T, class D, class Condition, class From, class Finished>
  Tensor<T, D> sample(const SampleRun<T, D>& run, const Net& net, const Tensor<T, D>& noise, const Condition& condition,
                      From&& from, Finished&& finished) const {
    const auto& told = conditions(net, condition);
    State<T, D> state{noise};
    std::size_t n = 0;
    for (std::size_t i = 0; i < run.steps().size(); ++i) {
      const auto& evaluations = run.steps()[i].evaluations;
      for (std::size_t k = 0; k < evaluations.size(); ++k, ++n) {
        const auto at = run.operands(n);
        if constexpr (computed_in_step<Net, T, Condition>) {
          const auto f = net.template element<Accumulator<T>>(evaluations[k].time);
          advance(state, Branches<T, D>{}, evaluations[k], at, run, from(i, k, n), f);
        } else {
          advance(state, evaluate(net, state.x, at.time, told, run), evaluations[k], at, run, from(i, k, n));
        }
      }
      finished(i, state.x);
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

  template <class Net, class T, class Condition>
  static constexpr bool computed_in_step =
      !G::guided && !detail::EmbedsGuidance<G> && ElementwiseDenoiser<Net, Accumulator<T>> &&
      std::same_as<Condition, Unconditional>;

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

  /// What the network is told: with guidance both conditions, else the one.
  template <class Net, class Condition>
  static decltype(auto) conditions(const Net& net, const Condition& condition) {
    if constexpr (G::guided && !detail::is_guided<Condition>) {
      static_assert(
          requires { net.null_condition(condition); },
          "guidance needs a GuidedCondition{condition, null} or a denoiser with null_condition(condition)");
      return GuidedCondition<Condition>{condition, net.null_condition(condition)};
    } else if constexpr (!G::guided && detail::is_guided<Condition>) {
      return (condition.conditional);
    } else {
      return (condition);
    }
  }

  template <class Net, class T, class D, class Condition>
  static Branches<T, D> evaluate(const Net& net, const Tensor<T, D>& x, const Numbers<T, D>& t,
                                 const Condition& condition, const SampleRun<T, D>& run) {
    if constexpr (G::guided) {
      return predict_branches(net, x, t, condition, run.both_branches());
    } else if constexpr (detail::EmbedsGuidance<G>) {
      constexpr bool embeds = Predictor<GuidedStudent<Net, T, D>, T, D, Condition>;
      static_assert(embeds, "EmbeddedGuidance needs a student with a w-embedding: net(x, t, condition, w)");
      if constexpr (embeds) {
        const Numbers<T, D> w = run.embedded_weights();
        return {predict(GuidedStudent<Net, T, D>{net, w}, x, t, condition), {}};
      }
    } else {
      return {predict(net, x, t, condition), {}};
    }
  }

  /// One update with the predictions of its evaluation, or with the functor `f` that computes them.
  template <class T, class D, class... F>
  void advance(State<T, D>& s, const Branches<T, D>& e, const Evaluation& step,
               const typename SampleRun<T, D>::Operands& at, const SampleRun<T, D>& run, const ops::StepNoise<D>& noise,
               const F&... f) const {
    ops::AffineStep<T, D> update{s.x, at.x, e.conditional, at.prediction, {}, {}, at.noise};
    if (step.remember || step.update.memory != 0) {
      // An update has one operand beside x and the prediction: the branches must be joined first.
      if constexpr (G::guided) update.first = combine_branches(e, run.weights(), guidance_.options.rescale);
      if (step.update.memory != 0) {
        require<OptionError>(s.memory.defined(), "sampler: ", S::name, " reads a memory that no step has written");
        update.second = s.memory;
        update.second_scale = at.memory;
      }
      if (step.remember) {
        // Into the spare buffer: the update is still to read the old memory.
        if (!s.spare.defined()) s.spare = Tensor<T, D>(s.x.shape());
        ops::affine_step_into(s.spare, {s.x, at.remember_x, update.first, at.remember_prediction}, ops::StepNoise<D>{},
                              f...);
        std::swap(s.memory, s.spare);
      }
    } else if constexpr (G::guided) {
      guide(update, e, at, run);
    }
    const Tensor<T, D> out = s.ours ? s.x : Tensor<T, D>(s.x.shape());
    ops::affine_step_into(out, update, noise, f...);
    s.x = out;
    s.ours = true;
  }

  /// The branches as the operands of an update, their weights in the scales.
  template <class T, class D>
  void guide(ops::AffineStep<T, D>& update, const Branches<T, D>& e, const typename SampleRun<T, D>::Operands& at,
             const SampleRun<T, D>& run) const {
    update.first_scale = at.conditional;
    if (!e.unconditional.defined()) return;
    update.second = e.unconditional;
    update.second_scale = at.unconditional;
    if (guidance_.options.rescale == 0) return;
    const Numbers<T, D> factors = rescale_factors(e, run.weights(), guidance_.options.rescale);
    update.first_scale = ops::map(ops::Mul{}, factors, at.conditional);
    update.second_scale = ops::map(ops::Mul{}, factors, at.unconditional);
  }

  S solver_;
  G guidance_;
  NoiseTable table_;
};

}  // namespace hypersd::diffusion
