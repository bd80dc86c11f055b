// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/distill/time_proposal.hpp>
#include <hypersd/distill/two_jumps.hpp>

namespace hypersd::distill {

/// Which equation of a flow map X(x, t -> s) the student learns.
enum class FlowMapEquation {
  lagrangian,  ///< dX/ds = v(X, s): the end moves
  eulerian,    ///< dX/dt + dX/dx v(x, t) = 0: the beginning moves
  progressive  ///< X(x, t -> s) = X(X(x, t -> q), q -> s): two jumps
};

/// Settings of flow maps.
struct FlowMapOptions {
  TimeProposal times{.kind = TimeProposal::Kind::uniform};  ///< of both times of a pair
  double same_share = 0.75;  ///< share of samples with end = t, which learn the velocity itself
  /// `data`: self-distillation, v is the student's own u(x, t, t), which learns from data where end = t. `teacher`:
  /// distillation, v is the teacher's.
  FlowSource source = FlowSource::data;
  double guidance_min = 1, guidance_max = 1;  ///< of the teacher
  /// Lagrangian: the gradient passes through dX/ds too, as published for self-distillation (LSD); dX/ds is then a
  /// central difference, of two evaluations with gradient. Without, the target is fixed (as in "Align your flow").
  bool through_derivative = false;
  double step = 1e-3;  ///< of that difference, a share of `process.last()`; above 0
  /// Self-distillation: v where the jump ends is that of the target network, a moving average, not the student's own.
  bool target_velocity = false;
};

/// Flow maps (Boffi et al., "How to build a consistency model: learning flow maps via self-distillation"; Sabour et
/// al., "Align your flow"): the student with two times learns where the flow takes x from t to any end, by one of three
/// equations. Its prediction f at (x, t, end) is the one whose jump lands there, so that f at end = t is the process's
/// own. The loss is mean (f - stopgrad(f + g))^2 with
///
///   lagrangian   g = k (v(X, s) - dX/ds), dX/ds by one JVP along the end
///   eulerian     g = k dX/dt along (v, 1), the tangent of `jump_drift`
///   progressive  g = f* - f, f* from two jumps that stop at a uniform time between
///
/// and k of `jump_drift`, which is 1 on a rectified flow. Where end = t all three are f* - f with f* of data or
/// teacher.
template <FlowMapEquation equation, diffusion::DiffusionProcess Process = diffusion::Flow>
struct FlowMap {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = FlowMapOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit FlowMap(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    require<OptionError>(0 <= o.same_share && o.same_share <= 1 && o.step > 0 && o.step < 0.1,
                         "flow map: same_share = ", o.same_share, ", step = ", o.step);
    require<OptionError>(equation == FlowMapEquation::lagrangian || !o.through_derivative,
                         "flow map: through_derivative is of the Lagrangian equation");
    require_guidance_range(o.guidance_min, o.guidance_max);
  }
  explicit FlowMap(Options o = {}) requires std::default_initializable<Process> : FlowMap(Process(), o) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    const ContinuousDraws d = draw(batch.x0.dim(0), random);
    return loss_at(student, teacher, target, batch, d, between(d, random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "flow_map.noise"), random);
  }

  /// Pairs of the proposal.
  [[nodiscard]] ContinuousDraws draw(std::int64_t batch, Randomness random) const {
    return draw_pairs(options.times, process, options.same_share, options.guidance_min, options.guidance_max, batch,
                      random, "flow_map");
  }
  /// A uniform time between the times of each pair.
  [[nodiscard]] static diffusion::Times between(const ContinuousDraws& d, Randomness random) {
    const Stream s = random.stream("flow_map.middle");
    diffusion::Times out;
    for (std::size_t b = 0; b < d.t.size(); ++b)
      out.push_back(uniform_between(d.end[b], d.t[b], s, static_cast<std::uint64_t>(random.first_sample) + b));
    return out;
  }

  /// The same for given draws, times between them (read by the progressive equation) and noise [B, ...]; of `random`
  /// the step counts, for messages.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const ContinuousDraws& d, const diffusion::Times& middle, const Tensor<T, D>& noise,
                           Randomness random = {}) const {
    return loss_at(student, teacher, student, batch, d, middle, noise, random);
  }
  /// The same with the target network of `target_velocity`.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const ContinuousDraws& d, const diffusion::Times& middle,
                           const Tensor<T, D>& noise, Randomness random = {}) const {
    static_assert((diffusion::detail::require_two_times<Student, T, D, C>(), true));
    constexpr bool target_maps = diffusion::TwoTimeDenoiser<Target, T, D, C>;
    require<OptionError>(target_maps || !options.target_velocity,
                         "flow map: target_velocity, but the target network has no second time");
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const C& condition = batch.condition.conditional;
    // v at x and `times`: where end = t of the sample's data or the teacher, else the student's own or the teacher's.
    const auto velocity = [&](const Tensor<T, D>& x, const diffusion::Times& times) {
      if (options.source == FlowSource::teacher)
        return flow_velocity(FlowSource::teacher, process, teacher, batch, x, noise, times, d.guidance);
      const auto own = [&] {
        if constexpr (target_maps)
          if (options.target_velocity) return diffusion::predict_between(process, target, x, times, times, condition);
        return diffusion::predict_between(process, student, x, times, times, condition);
      }();
      return select(d, diffusion::pair_velocity(process, batch.x0, noise, times),
                    diffusion::velocity_of(process, x, own, times));
    };
    const JumpDrift<T, D> drift = [&] {
      if constexpr (equation == FlowMapEquation::eulerian)
        return jump_drift(process, student, x_t, velocity(x_t, d.t), d.t, d.end, condition);
      else if constexpr (equation == FlowMapEquation::lagrangian)
        return options.through_derivative ? end_drift_with_gradient(student, x_t, d, condition, velocity)
                                          : end_drift(student, x_t, d, condition, velocity);
      else
        return two_jump_drift(student, x_t, d, middle, condition,
                              flow_velocity(options.source, process, teacher, batch, x_t, noise, d.t, d.guidance));
    }();
    (void)tangent_squares(drift.tangent, d.t, d.end, random);
    return {tangent_loss(drift.prediction, drift.tangent), {}};
  }

 private:
  template <class T, class D>
  static Tensor<T, D> mix(const std::vector<double>& a, const Tensor<T, D>& x, const std::vector<double>& b,
                          const Tensor<T, D>& y) {
    return diffusion::combine({diffusion::sample_scales<T, D>(a), diffusion::sample_scales<T, D>(b)}, x, y);
  }
  /// `same` for samples with end = t, `other` for the rest.
  template <class T, class D>
  static Tensor<T, D> select(const ContinuousDraws& d, const Tensor<T, D>& same, const Tensor<T, D>& other) {
    std::vector<double> first, second;
    for (std::size_t b = 0; b < d.t.size(); ++b) {
      first.push_back(d.end[b] == d.t[b] ? 1 : 0);
      second.push_back(1 - first.back());
    }
    return mix(first, same, second, other);
  }
  /// k of each sample.
  [[nodiscard]] std::vector<double> gains(const ContinuousDraws& d) const {
    std::vector<double> out;
    for (std::size_t b = 0; b < d.t.size(); ++b) out.push_back(detail::drift_gain(process, d.t[b], d.end[b]));
    return out;
  }

  /// g = k (v(X, s) - dX/ds), dX/ds = A_s x + B_s f + B df/ds.
  template <class Student, class T, class D, class C, class Velocity>
  JumpDrift<T, D> end_drift(const Student& student, const Tensor<T, D>& x_t, const ContinuousDraws& d,
                            const C& condition, const Velocity& velocity) const {
    const auto k = gains(d);
    const diffusion::Rates rates(process);
    std::vector<double> moves, on_x, on_prediction;
    for (std::size_t b = 0; b < k.size(); ++b) {
      const diffusion::Form rate = rates.jump_end(d.t[b], d.end[b]);
      moves.push_back(k[b] * process.jump(d.t[b], d.end[b]).prediction);
      on_x.push_back(-k[b] * rate.x);
      on_prediction.push_back(-k[b] * rate.prediction);
    }
    auto along = diffusion::evaluate_along(process, student, autograd::Dual<T, D>{x_t, {}},
                                           {d.t, std::vector<double>(k.size(), 0.0)}, {d.end, moves}, condition);
    const Tensor<T, D>& f = along.prediction.value();
    const auto there = diffusion::jump(process, x_t, f, d.t, d.end);
    const std::vector<double> minus(k.size(), -1.0);
    const auto wanted = mix(k, velocity(there, d.end), minus, along.derivative);
    return {std::move(along.prediction), ops::map(ops::Add{}, wanted, mix(on_x, x_t, on_prediction, f))};
  }
  /// k dX/ds with its gradient, by a difference of second order, and k v(X, s) less its value.
  template <class Student, class T, class D, class C, class Velocity>
  JumpDrift<T, D> end_drift_with_gradient(const Student& student, const Tensor<T, D>& x_t, const ContinuousDraws& d,
                                          const C& condition, const Velocity& velocity) const {
    const auto k = gains(d);
    const Var<T, D> x(x_t);
    // At s - h and s + h; where that leaves the process or passes t, at s, s +- h and s +- 2h.
    const double h = options.step * process.last();
    std::vector<std::vector<double>> offset(3), weight(3);
    for (std::size_t b = 0; b < k.size(); ++b) {
      const double s = d.end[b];
      const double side = s - h < process.first() ? 1 : s + h <= d.t[b] ? 0 : s - 2 * h < process.first() ? 1 : -1;
      const double at[] = {side == 0 ? -1 : side, side == 0 ? 1 : 2 * side, 0};
      const double of[] = {side == 0 ? -0.5 : 2 * side, side == 0 ? 0.5 : -0.5 * side, side == 0 ? 0 : -1.5 * side};
      for (std::size_t i = 0; i < 3; ++i) {
        offset[i].push_back(s + at[i] * h);
        weight[i].push_back(k[b] * of[i] / h);
      }
    }
    Var<T, D> slope;
    for (std::size_t i = 0; i < 3; ++i) {
      if (std::all_of(weight[i].begin(), weight[i].end(), [](double w) { return w == 0; })) continue;
      const auto f = diffusion::evaluate_between(process, student, x, d.t, offset[i], condition);
      const auto moved = autograd::mul(diffusion::jump(process, x, f, d.t, offset[i]),
                                       ops::per_sample(diffusion::sample_scales<T, D>(weight[i])));
      slope = slope.defined() ? autograd::add(slope, moved) : moved;
    }
    const auto there = diffusion::jump(
        process, x_t, diffusion::predict_between(process, student, x_t, d.t, d.end, condition), d.t, d.end);
    const auto goal = ops::map(ops::Mul{}, velocity(there, d.end), ops::per_sample(diffusion::sample_scales<T, D>(k)));
    const auto tangent = ops::map(ops::Sub{}, goal, slope.value());
    return {std::move(slope), tangent};
  }
  /// g = f* - f.
  template <class Student, class T, class D, class C>
  JumpDrift<T, D> two_jump_drift(const Student& student, const Tensor<T, D>& x_t, const ContinuousDraws& d,
                                 const diffusion::Times& middle, const C& condition,
                                 const Tensor<T, D>& velocity) const {
    const auto here = diffusion::combine(
        diffusion::sample_forms<T, D>(x_t.dim(0),
                                      [&](std::size_t b) {
                                        const diffusion::Form v = process.velocity(d.t[b]);
                                        return diffusion::Form{-v.x / v.prediction, 1 / v.prediction};
                                      }),
        x_t, velocity);
    const auto goal = select(d, here, two_jumps(process, student, x_t, d.t, middle, d.end, condition));
    auto f = diffusion::evaluate_between(process, student, Var<T, D>(x_t), d.t, d.end, condition);
    const auto tangent = ops::map(ops::Sub{}, goal, f.value());
    return {std::move(f), tangent};
  }
};

/// Lagrangian self-distillation (LSD), or with a teacher map distillation (LMD).
template <diffusion::DiffusionProcess Process = diffusion::Flow>
using LagrangianFlowMap = FlowMap<FlowMapEquation::lagrangian, Process>;
/// Eulerian self-distillation (ESD), or with a teacher map distillation (EMD).
template <diffusion::DiffusionProcess Process = diffusion::Flow>
using EulerianFlowMap = FlowMap<FlowMapEquation::eulerian, Process>;
/// Progressive self-distillation (PSD).
template <diffusion::DiffusionProcess Process = diffusion::Flow>
using ProgressiveFlowMap = FlowMap<FlowMapEquation::progressive, Process>;

}  // namespace hypersd::distill
