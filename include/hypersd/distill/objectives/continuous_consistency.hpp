// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/distill/time_proposal.hpp>

namespace hypersd::distill {

/// What keeps the tangents of a batch in bounds.
enum class TangentBound {
  none,
  normalize,  ///< g / (|g| + normalizer) of each sample
  clip        ///< every element to [-clip, clip]
};

/// Settings of continuous-time consistency.
struct ContinuousConsistencyOptions {
  TimeProposal times{};
  double guidance_min = 1, guidance_max = 1;  ///< the teacher's scale (g form: 1 is none) is uniform in between
  FlowSource source = FlowSource::teacher;    ///< distillation (sCD) or training from data (sCT)
  TangentBound bound = TangentBound::normalize;
  double normalizer = 0.1, clip = 1;  ///< above 0
  std::int64_t warm_up = 0;           ///< r = min(1, step / warm_up); published: 10000. 0: r = 1
};

/// Consistency distillation in continuous time (Lu and Song, "Simplifying, stabilizing and scaling continuous-time
/// consistency models"): the limit of `Consistency` for steps of the teacher without length, on every continuous
/// process. The loss is mean (f - stopgrad(f + g))^2 with the tangent g of `jump_drift`: no target network, no solver,
/// no grid. `Rule` says where jumps end, as in `Consistency`. A student with a second time is told the end.
template <class Rule, diffusion::DiffusionProcess Process>
struct ContinuousConsistency {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  static_assert(ContinuousEndRule<Rule, Process> || Process::discrete,
                "a rule of continuous time says where jumps from t end: interval(process, t)");
  using Options = ContinuousConsistencyOptions;
  Options options{};
  Rule rule{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit ContinuousConsistency(Process p, Options o = {}, Rule r = {}) : options(o), rule(r), process(std::move(p)) {
    process.require_signal();
    require_guidance_range(o.guidance_min, o.guidance_max);
    require<OptionError>(o.normalizer > 0 && o.clip > 0 && o.warm_up >= 0 && o.times.deviation >= 0,
                         "continuous consistency: normalizer = ", o.normalizer, ", clip = ", o.clip,
                         ", warm_up = ", o.warm_up, ", deviation of times = ", o.times.deviation);
    (void)rule.interval(process, process.last());
  }
  /// For a process whose type says everything: `Scd<Trig>({.guidance_max = 2})`.
  explicit ContinuousConsistency(Options o = {}, Rule r = {}) requires std::default_initializable<Process>
      : ContinuousConsistency(Process(), o, r) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return loss_of(residual(student, teacher, target, batch, random));
  }
  /// What `loss` compares, for other weights (`AdaptivelyWeighted`).
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Residual<T, D> residual(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                          Randomness random) const {
    return residual_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                       diffusion::normals<T, D>(batch.x0.shape(), random, "continuous.noise"), random);
  }

  /// Times from the proposal, ends uniform where the rule allows them.
  [[nodiscard]] ContinuousDraws draw(std::int64_t batch, Randomness random) const {
    const Stream times = random.stream("continuous.time"), rest = random.stream("continuous.draw");
    ContinuousDraws out;
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const auto at = static_cast<std::uint64_t>(b);
      const diffusion::Time t = options.times.draw(process, times, at);
      const EndInterval ends = rule.interval(process, t);
      out.t.push_back(t);
      out.end.push_back(uniform_between(ends.low, ends.high, rest, 2 * at));
      out.guidance.push_back(uniform_between(options.guidance_min, options.guidance_max, rest, 2 * at + 1));
    }
    return out;
  }
  /// r of iteration `step`.
  [[nodiscard]] double warm_up_share(std::int64_t step) const {
    return options.warm_up == 0 ? 1 : std::min(1.0, static_cast<double>(step) / static_cast<double>(options.warm_up));
  }

  /// The same for given draws and noise [B, ...]; of `random` the step counts, for the warm-up and messages.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const ContinuousDraws& d, const Tensor<T, D>& noise, Randomness random = {}) const {
    return loss_of(residual_at(student, teacher, batch, d, noise, random));
  }
  /// What it compares.
  template <class Student, class Teacher, class T, class D, class C>
  Residual<T, D> residual_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                             const ContinuousDraws& d, const Tensor<T, D>& noise, Randomness random = {}) const {
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const auto velocity = flow_velocity(options.source, process, teacher, batch, x_t, noise, d.t, d.guidance);
    auto drift = jump_drift(process, student, x_t, velocity, d.t, d.end, batch.condition.conditional,
                            warm_up_share(random.step));
    const auto squares = tangent_squares(drift.tangent, d.t, d.end, random);
    double norm = 0;
    for (const double square : squares) norm += std::sqrt(square) / static_cast<double>(squares.size());
    drift.tangent = bounded(drift.tangent, squares);
    return {std::move(drift), d.t, d.end, {{"tangent norm", norm}}};
  }

 private:
  template <class T, class D>
  static LossResult<T, D> loss_of(Residual<T, D> r) {
    return {tangent_loss(r.drift.prediction, r.drift.tangent), std::move(r.diagnostics)};
  }
  template <class T, class D>
  Tensor<T, D> bounded(const Tensor<T, D>& tangent, const std::vector<double>& squares) const {
    if (options.bound == TangentBound::none) return tangent;
    if (options.bound == TangentBound::clip) {
      const auto limit = static_cast<Accumulator<T>>(options.clip);
      return ops::map(ops::Clamp<Accumulator<T>>{-limit, limit}, tangent);
    }
    std::vector<double> scale;
    for (const double square : squares) scale.push_back(1 / (std::sqrt(square) + options.normalizer));
    return ops::map(ops::Mul{}, tangent, ops::per_sample(diffusion::sample_scales<T, D>(scale)));
  }
};

/// sCD and, with `FlowSource::data`, sCT: every jump goes to the end. The limit of `Cd`.
template <diffusion::DiffusionProcess Process>
using Scd = ContinuousConsistency<ToTheEnd, Process>;

/// Segmented sCD (multi-step sCD) with k segments: every jump goes to the beginning of the segment of t. The limit of
/// `Pcm`. With k = 1 it is `Scd`.
template <int k, diffusion::DiffusionProcess Process>
using SegmentedScd = ContinuousConsistency<ToSegmentStart<k>, Process>;

/// The continuous limit of `Tscd` with k segments: jumps to any time of the segment of t below t. [Hyper-SD Eq. 12]
template <int k, diffusion::DiffusionProcess Process>
using ContinuousTscd = ContinuousConsistency<WithinSegment<k>, Process>;

}  // namespace hypersd::distill
