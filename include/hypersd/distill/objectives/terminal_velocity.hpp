// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/objectives/flow_map.hpp>

namespace hypersd::distill {

/// Settings of terminal velocity matching.
struct TerminalVelocityOptions {
  double gap_mean = -0.8, gap_deviation = 1;         ///< the jump's length is sigmoid(N(mean, deviation^2)) of the way
  TimeProposal times{.mean = -0.4, .deviation = 1};  ///< of ends, and of the times at which the velocity is learned
  FlowSource source = FlowSource::data;              ///< what the velocity is learned from
  double guidance_min = 1, guidance_max = 1;         ///< of the teacher
  double flow_weight = 1;                            ///< of the velocity's term
  double step = 1e-3;                                ///< as in `FlowMapOptions`
};

/// Terminal velocity matching (arXiv 2511.19797): the speed of a jump's end is the velocity there,
///
///   |d/ds X(x, t -> s) - stopgrad v_target(X, s)|^2 + flow_weight |v_student(x', t') - v|^2,
///
/// with gradient through d/ds: `LagrangianFlowMap` with `through_derivative` and `target_velocity`, and flow matching
/// at times t' of its own. v is the velocity of data and noise, or the teacher's. Guidance as an input is left out.
template <diffusion::DiffusionProcess Process = diffusion::Flow>
struct TerminalVelocity {
  using Options = TerminalVelocityOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit TerminalVelocity(Process p, Options o = {}) : options(o), process(std::move(p)) {
    require_weight("terminal velocity", "flow_weight", o.flow_weight);
    require_guidance_range(o.guidance_min, o.guidance_max);
    require<OptionError>(o.gap_deviation >= 0 && o.times.deviation >= 0,
                         "terminal velocity: gap_deviation = ", o.gap_deviation,
                         ", deviation of times = ", o.times.deviation);
    (void)map();
  }
  explicit TerminalVelocity(Options o = {}) requires std::default_initializable<Process>
      : TerminalVelocity(Process(), o) {}

  /// Jumps, and the times of the velocity's term.
  struct Draws {
    ContinuousDraws jump;
    diffusion::Times flow;
  };
  /// Ends of the proposal that leave room for the length.
  [[nodiscard]] Draws draw(std::int64_t batch, Randomness random) const {
    const Stream gaps = random.stream("terminal.gap"), ends = random.stream("terminal.end"),
                 flow = random.stream("terminal.flow"), rest = random.stream("terminal.draw");
    Draws out;
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const auto at = static_cast<std::uint64_t>(b);
      const double normal = options.gap_mean + options.gap_deviation * static_cast<double>(normal_at(gaps, at));
      const double gap = (process.last() - process.first()) / (1 + std::exp(-normal));
      diffusion::Time end = process.last();
      for (std::uint64_t i = 0; i < tries && end > process.last() - gap; ++i)
        end = options.times.draw(process, ends, tries * at + i);
      end = std::min(end, process.last() - gap);
      out.jump.t.push_back(std::min(end + gap, process.last()));
      out.jump.end.push_back(end);
      out.jump.guidance.push_back(uniform_between(options.guidance_min, options.guidance_max, rest, at));
      out.flow.push_back(options.times.draw(process, flow, at));
    }
    return out;
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    const Shape& shape = batch.x0.shape();
    return loss_at(student, teacher, target, batch, draw(shape[0], random),
                   diffusion::normals<T, D>(shape, random, "terminal.noise"),
                   diffusion::normals<T, D>(shape, random, "terminal.flow_noise"), random);
  }
  /// The same for given draws and the noise [B, ...] of both terms; of `random` the step counts, for messages.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& d, const Tensor<T, D>& noise,
                           const Tensor<T, D>& flow_noise, Randomness random = {}) const {
    auto out = map().loss_at(student, teacher, target, batch, d.jump, d.jump.end, noise, random);
    const auto x = diffusion::add_noise(process, batch.x0, flow_noise, d.flow);
    const auto goal = options.source == FlowSource::data
                          ? diffusion::training_target(process, batch.x0, flow_noise, d.flow)
                          : diffusion::predict_guided(process, teacher, x, d.flow, batch.condition, d.jump.guidance);
    const auto flow = autograd::mse(
        diffusion::evaluate_between(process, student, Var<T, D>(x), d.flow, d.flow, batch.condition.conditional), goal);
    out.diagnostics = {{"terminal", out.loss.value()}, {"flow", flow.value()}};
    out.loss = autograd::linear_combination(1, out.loss, static_cast<Accumulator<T>>(options.flow_weight), flow);
    return out;
  }

 private:
  static constexpr std::uint64_t tries = 64;
  [[nodiscard]] LagrangianFlowMap<Process> map() const {
    return LagrangianFlowMap<Process>(
        process, {.same_share = 0, .through_derivative = true, .step = options.step, .target_velocity = true});
  }
};

}  // namespace hypersd::distill
