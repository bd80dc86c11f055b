// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <hypersd/core/progress.hpp>
#include <hypersd/diffusion/elementwise.hpp>
#include <hypersd/diffusion/embedded_guidance.hpp>
#include <hypersd/diffusion/sample_run.hpp>
#include <hypersd/diffusion/solver.hpp>
#include <hypersd/diffusion/timesteps.hpp>
#include <hypersd/diffusion/two_times.hpp>
#include <hypersd/ops/functors.hpp>
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
  int stop_after = 0;                    ///< steps to take before sampling stops, 0: all
  double clip_x0 = 0;                    ///< clean data are clipped to [-clip_x0, clip_x0] before each update; 0: not
  bool clip_keeps_eps = false;           ///< clipping leaves the noise estimate as it is: DDIM and LCM of diffusers
  /// Whether the noise is multiplied by the process's starting scale at the first time. Not for noised data.
  bool scale_noise = true;
};

namespace detail {

/// f + r (b - a): arguments (f, b, a, r).
struct AddScaledChange {
  template <class T>
  HYPERSD_HD T operator()(T f, T b, T a, T r) const {
    return f + r * (b - a);
  }
};

}  // namespace detail

/// Called after every step as `observer(step, times, x)`; does nothing. x is overwritten by the next step: `clone()`
/// it.
struct NoObserver {
  template <class X>
  void operator()(int, StepTimes, const X&) const {}
};

/// Takes a denoiser of a process from noise to data. Solver, process and guidance are policies; each update is one
/// fused pass over the tensor, which holds the denoiser as well where that is an `ElementwiseDenoiser`. All
/// coefficients of a run are copied to the device before its first step. The same numbers come out for any thread count
/// and batch split.
template <class S, class Process, Guidance G = NoGuidance>
class Sampler {
  static_assert(DiffusionProcess<Process>, "Sampler<Solver, Process, Guidance>: the second argument must be a process");
  static_assert((require_solver<S, Process>(), true));

 public:
  /// Throws OptionError for a process whose options are out of range.
  Sampler(typename S::Options solver = {}, Process process = {}, typename G::Options guidance = {})
      : solver_{solver}, guidance_{guidance}, process_(std::move(process)) {}

  [[nodiscard]] const Process& process() const { return process_; }
  [[nodiscard]] const S& solver() const { return solver_; }

  /// The evaluations and coefficients of a run: time i to time i + 1, the last to the end point. Throws OptionError for
  /// a list that is empty, does not descend or leaves the process.
  [[nodiscard]] std::vector<PlannedStep> plan(const Steps& steps, const SampleOptions& options = {}) const {
    const Times times = steps.times(process_);
    const Time end = process_.time(options.end);
    std::vector<PlannedStep> out;
    std::vector<StepTimes> before;
    require<OptionError>(options.stop_after >= 0, "sampler: stop_after = ", options.stop_after, " is negative");
    const auto count = options.stop_after == 0
                           ? times.size()
                           : std::min<std::size_t>(times.size(), static_cast<std::size_t>(options.stop_after));
    for (std::size_t i = 0; i < count; ++i) {
      StepTimes t{times[i], i + 1 < times.size() ? times[i + 1] : end, i + 1 == times.size()};
      if constexpr (Process::discrete) {
        const int stride = process_.schedule().size() / static_cast<int>(times.size());
        if (options.diffusers_prev) t.to = times[i] < stride ? end : times[i] - stride;
      }
      out.push_back({t, evaluations_of(solver_, process_, t, before)});
      before.push_back(t);
    }
    return out;
  }

  /// Samples from `noise` [B, ...] (standard normal) at the times `steps`: a number (the process's grid) or a list.
  /// With guidance, `condition` is a `GuidedCondition`, or the denoiser has `null_condition(condition)`. Throws
  /// OptionError (steps, options), ShapeError (prediction of another shape), and what the denoiser throws.
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
    return sample(run, net, noise, condition, options, from, [&](std::size_t i, const Tensor<T, D>& x) {
      observer(static_cast<int>(i), run.steps()[i].times, x);
      notify(options.progress, {"sample", static_cast<std::int64_t>(i) + 1, count, {}, {}});
    });
  }

  /// The same with the solver's noise given: tensor [B, ...] number n for evaluation n of the run; those of evaluations
  /// that inject none are not read. Throws OptionError where there are too few.
  template <class Net, class T, class D, class Condition>
  Tensor<T, D> with_noise(const Net& net, const Tensor<T, D>& noise, const std::vector<Tensor<T, D>>& given,
                          const Condition& condition, const Steps& steps, const SampleOptions& options = {}) const {
    require<ShapeError>(noise.rank() > 0 && noise.size() > 0, "sampler: noise of shape ", noise.shape());
    const auto run = prepare<T, D>(noise.dim(0), steps, options);
    const auto from = [&](std::size_t i, std::size_t e, std::size_t n) {
      if (run.steps()[i].evaluations[e].update.noise == 0) return Tensor<T, D>{};
      require<OptionError>(n < given.size(), "sampler: ", given.size(), " tensors of noise are given; step ", i + 1,
                           " needs another");
      require_same_shape("sampler: given noise", noise.shape(), given[n].shape());
      return given[n];
    };
    return sample(run, net, noise, condition, options, from, [](std::size_t, const Tensor<T, D>&) {});
  }

  /// The plan of a batch with its coefficients on the device, for `sample`. Throws OptionError (steps, options).
  template <class T, class D>
  [[nodiscard]] SampleRun<T, D> prepare(std::int64_t batch, const Steps& steps, const SampleOptions& options) const {
    require<OptionError>(options.clip_x0 >= 0, "sampler: clip_x0 = ", options.clip_x0, " is negative");
    return {process_,
            plan(steps, options),
            batch,
            guidance_of(batch, options),
            detail::EmbedsGuidance<G>,
            options.clip_x0 > 0,
            options.clip_keeps_eps};
  }

  /// A prepared run, which only enqueues work: wrappers record it. Evaluation e of step i, number n of all, draws its
  /// noise from the `ops::StepNoise` that `from(i, e, n)` gives, or takes the tensor that it gives; `finished(i, x)` is
  /// called after each step. Of `options`, `clip_x0`, `clip_keeps_eps` and `scale_noise` are read.
  template <class Net, class T, class D, class Condition, class From, class Finished>
  Tensor<T, D> sample(const SampleRun<T, D>& run, const Net& net, const Tensor<T, D>& noise, const Condition& condition,
                      const SampleOptions& options, From&& from, Finished&& finished) const {
    detail::require_same_process(process_, "network", net);
    const auto& given_condition = conditions(net, condition);
    State<T, D> state{noise};
    const double scale = options.scale_noise ? process_.starting_scale(run.steps().front().times.from) : 1.0;
    if (scale != 1) {
      state.x = ops::map(ops::Affine<Accumulator<T>>{static_cast<Accumulator<T>>(scale), 0}, noise);
      state.ours = true;
    }
    std::size_t n = 0;
    for (std::size_t i = 0; i < run.steps().size(); ++i) {
      const auto& evaluations = run.steps()[i].evaluations;
      for (std::size_t k = 0; k < evaluations.size(); ++k, ++n) {
        const auto at = run.operands(n);
        if constexpr (computed_in_step<Net, T, Condition>) {
          const auto f = net.template element<Accumulator<T>>(evaluations[k].time);
          if (options.clip_x0 > 0)
            advance(state, Branches<T, D>{ops::map(f, state.x), {}}, evaluations[k], at, run, options, from(i, k, n));
          else
            advance(state, Branches<T, D>{}, evaluations[k], at, run, options, from(i, k, n), f);
        } else {
          const auto input = Process::scales_input ? ops::map(ops::Mul{}, state.x, ops::per_sample(at.input)) : state.x;
          advance(state, evaluate(net, input, at, given_condition, run), evaluations[k], at, run, options,
                  from(i, k, n));
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
    std::array<Tensor<T, D>, kMemories> memory{};
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

  /// The conditions that the network is given: with guidance both, else one.
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
  static Branches<T, D> evaluate(const Net& net, const Tensor<T, D>& x, const typename SampleRun<T, D>::Operands& at,
                                 const Condition& condition, const SampleRun<T, D>& run) {
    const Numbers<T, D>& t = at.time;
    if constexpr (detail::HasSecondTime<Net, T, D, Condition>) {
      return evaluate(AtEnd<Net, T, D>(net, at.end), x, at, condition, run);
    } else if constexpr (G::guided) {
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

  /// One update with the predictions of its evaluation, or with the functor `f` that computes them. `noise` says which
  /// noise is drawn, or is the noise.
  template <class T, class D, class Noise, class... F>
  void advance(State<T, D>& s, const Branches<T, D>& e, const Evaluation& step,
               const typename SampleRun<T, D>::Operands& at, const SampleRun<T, D>& run, const SampleOptions& options,
               const Noise& noise, const F&... f) const {
    constexpr bool given = std::same_as<Noise, Tensor<T, D>>;
    ops::AffineStep<T, D> update{s.x, at.x, e.conditional, at.prediction, {}, {}, {}};
    const bool remembers = !step.remember.empty() || step.update.memory != decltype(step.update.memory){};
    if (remembers || given || options.clip_x0 > 0) {
      // An update has one operand beside x and the prediction: the branches must be joined first.
      if constexpr (G::guided) update.first = combine_branches(e, run.weights(), guidance_.options.rescale);
      if constexpr (sizeof...(F) == 0)
        if (options.clip_x0 > 0) update.first = clipped(s.x, update.first, at, options);
      add_operands(update, s, step.update, at.memory, run);
      if constexpr (given)
        if (noise.defined()) add_operand(update, noise, at.noise, run);
      remember(s, step, at, run, update.first, f...);
    } else if constexpr (G::guided) {
      guide(update, e, at, run);
    }
    const Tensor<T, D> out = s.ours ? s.x : Tensor<T, D>(s.x.shape());
    if constexpr (given) {
      ops::affine_step_into(out, update, ops::StepNoise<D>{}, f...);
    } else {
      update.noise_scale = at.noise;
      ops::affine_step_into(out, update, noise, f...);
    }
    s.x = out;
    s.ours = true;
  }

  /// Another operand of an update; a second one is joined with the first.
  template <class T, class D>
  static void add_operand(ops::AffineStep<T, D>& update, const Tensor<T, D>& tensor, const Numbers<T, D>& scale,
                          const SampleRun<T, D>& run) {
    if (update.second.defined()) {
      const Tensor<T, D> sum(tensor.shape());
      ops::affine_step_into(sum, {update.second, update.second_scale, tensor, scale}, ops::StepNoise<D>{});
      update.second = sum;
      update.second_scale = run.one();
    } else {
      update.second = tensor;
      update.second_scale = scale;
    }
  }
  /// The memories with their coefficients as operands of an update.
  template <class T, class D>
  static void add_operands(ops::AffineStep<T, D>& update, const State<T, D>& s, const StepCoefficients& c,
                           const std::array<Numbers<T, D>, kMemories>& scales, const SampleRun<T, D>& run) {
    for (std::size_t i = 0; i < kMemories; ++i) {
      if (c.memory[i] == 0) continue;
      require<OptionError>(s.memory[i].defined(), "sampler: ", S::name, " reads a memory that no step has written");
      add_operand(update, s.memory[i], scales[i], run);
    }
  }
  /// The memories after an evaluation, where it remembers. What is only kept is handed on.
  template <class T, class D, class... F>
  static void remember(State<T, D>& s, const Evaluation& step, const typename SampleRun<T, D>::Operands& at,
                       const SampleRun<T, D>& run, const Tensor<T, D>& prediction, const F&... f) {
    if (step.remember.empty()) return;
    std::array<Tensor<T, D>, kMemories> next{};
    for (std::size_t i = 0; i < step.remember.size(); ++i) {
      const StepCoefficients& c = step.remember[i];
      ops::AffineStep<T, D> sum{s.x, at.remember[i].x, prediction, at.remember[i].prediction};
      add_operands(sum, s, c, at.remember[i].memory, run);
      const bool kept = c.x == 0 && c.prediction == 0 && sum.second.defined();
      const bool whole = std::count(c.memory.begin(), c.memory.end(), 1.0) == 1;
      if (kept && whole) {
        next[i] = sum.second;
        continue;
      }
      next[i] = Tensor<T, D>(s.x.shape());
      ops::affine_step_into(next[i], sum, ops::StepNoise<D>{}, f...);
    }
    s.memory = next;
  }
  /// The prediction whose clean data are those of `prediction`, clipped to [-limit, limit]; or with `clip_keeps_eps`
  /// the one that takes the update where clipped data and the unchanged noise take it.
  template <class T, class D>
  static Tensor<T, D> clipped(const Tensor<T, D>& x, const Tensor<T, D>& prediction,
                              const typename SampleRun<T, D>::Operands& at, const SampleOptions& options) {
    const auto x0 = ops::map(ops::Combine{}, x, prediction, ops::per_sample(at.x0_x), ops::per_sample(at.x0_f));
    const auto limit = static_cast<Accumulator<T>>(options.clip_x0);
    const auto inside = ops::map(ops::Clamp<Accumulator<T>>{-limit, limit}, x0);
    if (options.clip_keeps_eps)
      return ops::map(detail::AddScaledChange{}, prediction, inside, x0, ops::per_sample(at.back_f));
    return ops::map(ops::Combine{}, x, inside, ops::per_sample(at.back_x), ops::per_sample(at.back_f));
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
  Process process_;
};

}  // namespace hypersd::diffusion
