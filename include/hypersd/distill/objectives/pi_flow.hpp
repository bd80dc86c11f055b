// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/rates.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/policy.hpp>
#include <string>

namespace hypersd::distill {

/// Settings of policy-based flow.
struct PiFlowOptions {
  int segments = 4;                           ///< of the way, one evaluation of the student each
  int nodes = 10;                             ///< times of a segment for which the student gives clean data
  int states = 2;                             ///< points of its own path at which the policy is compared, a sample
  int steps = 32;                             ///< of the policy across a segment; published: 128 / segments
  double t_min = 0.02;                        ///< lowest time of those points, a share of the process
  double guidance_min = 1, guidance_max = 1;  ///< of the teacher
};

/// Policy-based flow (Chen et al., pi-Flow, with the policy of several clean data): a student that gives a whole policy
/// from one evaluation at the beginning of a segment learns by imitation. Its policy is followed without gradient to
/// random times t of the segment, and there
///
///   mean (v_policy(x_t, t) - v_teacher(x_t, t))^2,   v the flow's velocity that clean data stand for,
///
/// has a gradient by the policy's clean data at t alone. The teacher answers where the student goes, so errors do not
/// add up unseen. Left out: windows of several steps, the policy of Gaussians, segments chained from noise.
template <diffusion::DiffusionProcess Process = diffusion::Flow>
struct PiFlow {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = PiFlowOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit PiFlow(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    require<OptionError>(o.segments >= 1 && o.nodes >= 1 && o.states >= 1 && o.steps >= 1 && 0 < o.t_min && o.t_min < 1,
                         "pi-Flow: segments = ", o.segments, ", nodes = ", o.nodes, ", states = ", o.states,
                         ", steps = ", o.steps, ", t_min = ", o.t_min);
    require_guidance_range(o.guidance_min, o.guidance_max);
  }
  explicit PiFlow(Options o = {}) requires std::default_initializable<Process> : PiFlow(Process(), o) {}

  /// One iteration's draws: the segment of each sample, and the times `t[i]` of its i-th state.
  struct Draws {
    diffusion::Times from, to;
    std::vector<diffusion::Times> t;
    std::vector<double> guidance;
  };
  [[nodiscard]] Draws draw(std::int64_t batch, Randomness random) const {
    const Stream s = random.stream("pi_flow.draw");
    const diffusion::Times grid = process.grid(options.segments);
    const auto each = static_cast<std::uint64_t>(2 + options.states);
    Draws out;
    out.t.resize(static_cast<std::size_t>(options.states));
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const std::uint64_t at = each * static_cast<std::uint64_t>(b);
      const auto i = static_cast<std::size_t>(integer_at(s, at, options.segments));
      out.from.push_back(grid[i]);
      out.to.push_back(i + 1 < grid.size() ? grid[i + 1] : process.first());
      out.guidance.push_back(uniform_between(options.guidance_min, options.guidance_max, s, at + 1));
      const double low = std::max(out.to.back(), process.first() + options.t_min * (process.last() - process.first()));
      for (std::size_t j = 0; j < out.t.size(); ++j)
        out.t[j].push_back(uniform_between(std::min(low, grid[i]), grid[i], s, at + 2 + j));
    }
    return out;
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "pi_flow.noise"));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch, const Draws& d,
                           const Tensor<T, D>& noise) const {
    const auto x = diffusion::add_noise(process, batch.x0, noise, d.from);
    const auto policy = policy_of(process, student, x, d.from, d.to, options.nodes, batch.condition.conditional);
    const auto fixed = detached(policy);
    Var<T, D> sum;
    for (const diffusion::Times& t : d.t) {
      const auto x_t = follow(process, fixed, x, t, options.steps);
      const auto f = diffusion::predict_guided(process, teacher, x_t, t, batch.condition, d.guidance);
      std::vector<double> scale;  // d velocity / d x0
      for (const diffusion::Time time : t) {
        const diffusion::Level l = process.level(time);
        scale.push_back(l.wronskian() / l.sigma);
      }
      const auto on = ops::per_sample(diffusion::sample_scales<T, D>(scale));
      const auto term = autograd::mse(autograd::mul(clean_at(policy, t), on),
                                      ops::map(ops::Mul{}, diffusion::x0_of(process, x_t, f, t), on));
      sum = sum.defined() ? autograd::add(sum, term) : term;
    }
    return {autograd::affine(sum, static_cast<Accumulator<T>>(1.0 / options.states)), {}};
  }
};

}  // namespace hypersd::distill
