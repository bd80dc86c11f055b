// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/objective.hpp>

namespace hypersd::distill {

/// Settings of `Preserve`.
struct PreserveOptions {
  int grid_points = 40;  ///< N of the solver grid whose times are used, all but the last
};

/// One iteration's draws: where jumps begin and end.
struct PreserveDraws {
  diffusion::Times t, end;
};

/// Holds the student to the jumps of the target network at all times but the last, from noised data:
///
///   d(Psi(x_t, f_student, t_end), Psi(x_t, f_target, t_end)),  t < T - 1.
///
/// Beside an objective that trains one step from pure noise (`Dmd`), with the student before it as target, this keeps
/// one adapter good for 1 to 8 steps. [Hyper-SD Sec. 3.3, the unified LoRA]
template <EndRule Rule = Anywhere, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Mse>
struct Preserve : FromSides<Preserve<Rule, Process, Metric>, Metric> {
  using Options = PreserveOptions;
  Options options{};
  Metric distance{};
  Rule rule{};
  Process process;

  explicit Preserve(Process p, Options o = {}, Metric metric = {}, Rule r = {})
      : options(o), distance(std::move(metric)), rule(r), process(std::move(p)) {
    require<OptionError>(o.grid_points >= 2, "Preserve: grid_points = ", o.grid_points, ", at least 2 needed");
    const SolverGrid grid(process, o.grid_points);
    process.require_signal(grid[o.grid_points - 1]);
  }

  /// A uniform grid point below the last for each sample, and one of its end points.
  [[nodiscard]] PreserveDraws draw(std::int64_t batch, Randomness random) const {
    const Stream s = random.stream("preserve.draw");
    const SolverGrid grid(process, options.grid_points);
    PreserveDraws out;
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto at = static_cast<std::uint64_t>(2 * (random.first_sample + b));
      const int n = 1 + static_cast<int>(integer_at(s, at, grid.points() - 1));
      out.t.push_back(grid[n]);
      out.end.push_back(draw_end(grid, rule.range(grid, n), s, at + 1));
    }
    return out;
  }

  /// The jumps of student and target, with their draws.
  template <class T, class D>
  struct Samples {
    Var<T, D> student;
    Tensor<T, D> target;
    PreserveDraws draws;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher&, const Target& target, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return samples_at(student, target, batch, draw(batch.x0.dim(0), random),
                      diffusion::normals<T, D>(batch.x0.shape(), random, "preserve.noise"));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Target, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Target& target, const Batch<T, D, C>& batch,
                           const PreserveDraws& d, const Tensor<T, D>& noise) const {
    const C& condition = batch.condition.conditional;
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const auto goal =
        diffusion::jump(process, x_t, diffusion::predict(process, target, x_t, d.t, condition), d.t, d.end);
    const Var<T, D> x(x_t);
    const auto jumped =
        diffusion::jump(process, x, diffusion::evaluate(process, student, x, d.t, condition), d.t, d.end);
    return {jumped, goal, d};
  }

  /// The loss for given draws and noise [B, ...].
  template <class Student, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Target& target, const Batch<T, D, C>& batch,
                           const PreserveDraws& d, const Tensor<T, D>& noise) const {
    return this->loss_from(samples_at(student, target, batch, d, noise), student, target, target, batch, {});
  }

  /// Where both sides stand.
  template <class T, class D, class C>
  Where<T, D, C> where(const Batch<T, D, C>& batch, const Samples<T, D>& samples) const {
    return {diffusion::time_tensor<T, D>(process, samples.draws.end), batch.condition.conditional, {}};
  }
};

}  // namespace hypersd::distill
