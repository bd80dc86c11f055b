// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/jump_walk.hpp>
#include <hypersd/distill/objective.hpp>

namespace hypersd::distill {

/// What the student of a rectified flow predicts.
enum class PerFlowTarget {
  epsilon,  ///< the noise eps* = (z_end - lambda z_begin) / eta, for `diffusion::PerFlow`
  velocity  ///< (z_end - z_begin) / (tau_end - tau_begin), tau = (t + 1) / T
};

/// Settings of piecewise rectified flow.
struct PerFlowOptions {
  int windows = 4;                            ///< K, equal parts of the trajectory
  int teacher_steps = 5;                      ///< DDIM steps of the teacher across a window
  double guidance_min = 1, guidance_max = 1;  ///< the teacher's scale
  PerFlowTarget target = PerFlowTarget::epsilon;
};

/// One iteration's draws: the window (end, begin] of each sample and a time t in it.
struct PerFlowDraws {
  diffusion::Times t, begin, end;
  std::vector<double> guidance;
};

/// Coefficients of z_end = lambda z_begin + eta eps for a window: the constant noise that takes one end to the other.
struct PerFlowWindow {
  double lambda = 1, eta = 0;
  PerFlowWindow(diffusion::Level begin, diffusion::Level end)
      : lambda(end.alpha / begin.alpha), eta(end.sigma - end.alpha / begin.alpha * begin.sigma) {}
};

/// Piecewise rectified flow (Yan et al. 2024): within each of K windows the student learns the straight line from the
/// window's beginning to where the teacher's ODE leaves it, as noise that takes one end to the other or as velocity.
/// Position on the line is (t + 1) / T, so that windows end at the sampler's trailing grid of K steps. The teacher
/// predicts what the process says, the student the target of `PerFlowOptions`.
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct PerFlow {
  static_assert(Process::discrete, "PeRFlow straightens the windows of a discrete table");
  using Options = PerFlowOptions;
  Options options{};
  Process process;

  explicit PerFlow(Process p, Options o = {}) : options(o), process(std::move(p)) {
    (void)grid();
    require<OptionError>(!process.schedule().zero_terminal_snr(),
                         "PeRFlow: its noise prediction needs signal at the last time");
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "perflow.noise"));
  }

  [[nodiscard]] JumpGrid grid() const { return {process, options.windows, options.teacher_steps}; }

  /// t uniform on the table; its window is the one with end < t <= begin.
  [[nodiscard]] PerFlowDraws draw(std::int64_t batch, Randomness random) const {
    const Stream s = random.stream("perflow.draw");
    const JumpGrid windows = grid();
    PerFlowDraws out;
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto at = static_cast<std::uint64_t>(2 * (random.first_sample + b));
      const auto t = static_cast<diffusion::Time>(integer_at(s, at, process.schedule().size()));
      int w = options.windows - 1;
      while (t > windows.time(w, 0)) --w;
      out.t.push_back(t);
      out.begin.push_back(windows.time(w, 0));
      // The lowest window ends at clean data's time with the level of time 0.
      out.end.push_back(w + 1 < options.windows ? windows.time(w + 1, 0) : process.clean());
      out.guidance.push_back(uniform_between(options.guidance_min, options.guidance_max, s, at + 1));
    }
    return out;
  }

  /// The same for given draws (of `grid()`) and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const PerFlowDraws& d, const Tensor<T, D>& noise) const {
    const auto z_begin = diffusion::add_noise(process, batch.x0, noise, d.begin);
    const auto z_end = walk_jumps(grid(), teacher, process, z_begin, d.begin, batch.condition, d.guidance);
    const auto mix = [&](auto&& form) {
      return diffusion::combine(diffusion::sample_forms<T, D>(z_begin.dim(0), form), z_begin, z_end);
    };
    const auto z_t = mix([&](std::size_t b) {
      const double share = (d.begin[b] - d.t[b]) / (d.begin[b] - d.end[b]);
      return diffusion::Form{1 - share, share};
    });
    const auto goal = mix([&](std::size_t b) {
      if (options.target == PerFlowTarget::velocity) {
        const double length = (d.begin[b] - d.end[b]) / process.schedule().size();
        return diffusion::Form{1 / length, -1 / length};
      }
      const PerFlowWindow w(process.level(d.begin[b]), process.level(std::max(process.first(), d.end[b])));
      return diffusion::Form{-w.lambda / w.eta, 1 / w.eta};
    });
    return {
        autograd::mse(diffusion::evaluate(process, student, Var<T, D>(z_t), d.t, batch.condition.conditional), goal),
        {}};
  }
};

}  // namespace hypersd::distill
