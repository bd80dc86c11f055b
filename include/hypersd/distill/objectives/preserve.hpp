// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/plan.hpp>

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

  /// The plan of an iteration on data of `shape` [B, ...].
  template <class T, class D>
  SamplePlan<T, D> plan(const Shape& shape, Randomness random) const {
    return planned(draw(shape[0], random), diffusion::normals<T, D>(shape, random, "preserve.noise"));
  }

  /// The jumps of student and target, to the times `end`.
  template <class T, class D>
  struct Samples {
    Var<T, D> student;
    Tensor<T, D> target;
    Numbers<T, D> end;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return samples_by(plan<T, D>(batch.x0.shape(), random), student, teacher, target, batch);
  }
  /// The same for a plan.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples_by(const SamplePlan<T, D>& plan, const Student& student, const Teacher&, const Target& target,
                           const Batch<T, D, C>& batch) const {
    const C& condition = batch.condition.conditional;
    const auto times = plan.template times<Process>(time);
    const auto x_t = diffusion::combine(plan.form(noised), batch.x0, plan.noise);
    const auto goal =
        diffusion::combine(plan.form(jump), x_t, diffusion::predict(process, target, x_t, times, condition));
    const Var<T, D> x(x_t);
    const auto f = diffusion::evaluate(process, student, x, times, condition);
    return {diffusion::combine(plan.form(jump), x, f), goal, plan.row(end)};
  }

  /// The loss for given draws and noise [B, ...].
  template <class Student, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Target& target, const Batch<T, D, C>& batch,
                           const PreserveDraws& d, const Tensor<T, D>& noise) const {
    return this->loss_from(samples_by(planned(d, noise), student, target, target, batch), student, target, target,
                           batch, {});
  }

  /// Where both sides stand.
  template <class T, class D, class C>
  Where<T, D, C> where(const Batch<T, D, C>& batch, const Samples<T, D>& samples) const {
    return {samples.end, batch.condition.conditional, {}};
  }

 private:
  /// Rows of a plan.
  enum Row : int {
    noised = 0,  // data and noise in x_t
    time = 2,    // what networks are given at t
    jump = 4,    // x_t and its prediction
    end = 6      // what networks are given at t_end
  };
  template <class T, class D>
  SamplePlan<T, D> planned(const PreserveDraws& d, Tensor<T, D> noise) const {
    return sample_plan(std::move(noise), [&](std::size_t b) {
      const diffusion::Level l = process.level(d.t[b]);
      const diffusion::Form to = process.jump(d.t[b], d.end[b]);
      return std::array{l.alpha, l.sigma,       process.network_time(d.t[b]),  process.input_scale(d.t[b]),
                        to.x,    to.prediction, process.network_time(d.end[b])};
    });
  }
};

}  // namespace hypersd::distill
