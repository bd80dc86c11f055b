// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/objective.hpp>

namespace hypersd::distill {

/// Settings that the consistency objectives share.
struct ConsistencyOptions {
  int grid_points = 40;                       ///< N, steps of the teacher's solver
  double guidance_min = 1, guidance_max = 1;  ///< the teacher's scale (g form: 1 is none) is uniform in between
  double noise_offset = 0;                    ///< deviation of a shift common to all positions of a channel
  /// Both sides of an elementwise distance are divided by |d Psi / d prediction|^jump_exponent of their sample. 0
  /// compares at t_end as the equations say, which weighs the squared error of an epsilon prediction by 8.0 at k = 1
  /// and 0.057 at k = 8, on average over the drawn times of Stable Diffusion's table; 1 weighs errors of the prediction
  /// alike at all times.
  double jump_exponent = 0;
};

/// One iteration's draws of `batch` samples, with t_end where `rule` allows it.
template <EndRule Rule, diffusion::DiffusionProcess Process>
Draws draw(const Rule& rule, const Process& process, const ConsistencyOptions& options, std::int64_t batch,
           Randomness random) {
  const SolverGrid grid(process, options.grid_points);
  return draw(rule, grid, batch, options.guidance_min, options.guidance_max, random.seed, random.step,
              random.first_sample);
}
/// One iteration's noise for data of `shape` [B, ..., C].
template <class T, class D>
Tensor<T, D> draw_noise(const ConsistencyOptions& options, const Shape& shape, Randomness random) {
  return diffusion::offset_noise<T, D>(shape, options.noise_offset, random.stream("distill.noise"),
                                       random.stream("distill.offset"), random.first_sample);
}

/// One iteration of consistency distillation along the trajectory:
///
///   d(Psi(x_t, f_student, t_end), stopgrad Psi(x', f_target, t_end)),  x' = Psi(x_t, f_teacher, t')
///
/// with the teacher guided, t' one grid step below t, and t_end where `Rule` allows it. Where t_end = t' the target is
/// x' itself, exactly. `Rule` makes it Eq 4, 5 or 12; `TeacherSolver` makes the teacher's step.
template <EndRule Rule, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Mse,
          class TeacherSolver = diffusion::DdimOde>
struct Consistency : FromSides<Consistency<Rule, Process, Metric, TeacherSolver>, Metric> {
  static_assert((diffusion::require_solver<TeacherSolver, Process>(), true));
  static_assert(diffusion::DeterministicSolver<TeacherSolver, Process>,
                "the teacher of a consistency objective follows an ODE: its solver must not be stochastic");
  using Options = ConsistencyOptions;
  Options options{};
  Metric distance{};
  Rule rule{};
  Process process;

  explicit Consistency(Process p, Options o = {}, Metric metric = {}, Rule r = {})
      : options(o), distance(std::move(metric)), rule(r), process(std::move(p)) {
    process.require_signal();
    (void)SolverGrid(process, o.grid_points);
  }
  /// For a process whose type says everything: `Tscd<8, StableDiffusion>({.guidance_min = 2})`.
  explicit Consistency(Options o, Metric metric = {}, Rule r = {}) requires std::default_initializable<Process>
      : Consistency(Process(), o, std::move(metric), r) {}

  /// Both sides of Eq 12 at t_end, with their draws.
  template <class T, class D>
  struct Samples {
    Var<T, D> student;
    Tensor<T, D> target;
    Draws draws;
  };
  /// Draws, noises, steps and jumps. See `FromSides`.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return samples_at(student, teacher, target, batch, draw(rule, process, options, batch.x0.dim(0), random),
                      draw_noise<T, D>(options, batch.x0.shape(), random));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& draws, const Tensor<T, D>& noise) const {
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, draws.t);
    // The teacher's guided step. [Hyper-SD Eq. 1]
    const auto guided = diffusion::predict_guided(process, teacher, x_t, draws.t, batch.condition, draws.guidance);
    const auto x_previous = diffusion::ode_step(TeacherSolver{}, process, x_t, guided, draws.t, draws.previous);
    // The target's jump from there; a jump to where it stands is the identity. [Hyper-SD Eq. 12], right-hand side
    const auto from_target =
        diffusion::predict(process, target, x_previous, draws.previous, batch.condition.conditional);
    const auto goal = diffusion::jump(process, x_previous, from_target, draws.previous, draws.end);
    // The student's jump, the only one with a gradient. [Hyper-SD Eq. 12], left-hand side
    const Var<T, D> x(x_t);
    const auto f = diffusion::evaluate(process, student, x, draws.t, batch.condition.conditional);
    return {diffusion::jump(process, x, f, draws.t, draws.end), goal, draws};
  }

  /// Compares both sides.
  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student&, const Teacher&, const Target&,
                             const Batch<T, D, C>& batch, Randomness) const {
    const Draws& draws = samples.draws;
    double anchored = 0;
    for (std::size_t b = 0; b < draws.t.size(); ++b) anchored += draws.end[b] == draws.previous[b] ? 1.0 : 0.0;
    return {distance(samples.student, samples.target, where(batch, samples)),
            {{"anchored", anchored / static_cast<double>(draws.t.size())}}};
  }
  /// The loss for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& draws, const Tensor<T, D>& noise) const {
    return loss_from(samples_at(student, teacher, target, batch, draws, noise), student, teacher, target, batch, {});
  }

  /// Where both sides stand.
  template <class T, class D, class C>
  Where<T, D, C> where(const Batch<T, D, C>& batch, const Samples<T, D>& samples) const {
    return {diffusion::time_tensor<T, D>(process, samples.draws.end), batch.condition.conditional,
            scale<T, D>(samples.draws)};
  }

 private:
  /// |d Psi / d prediction|^-jump_exponent of each sample's jump.
  template <class T, class D>
  Numbers<T, D> scale(const Draws& draws) const {
    if (options.jump_exponent == 0) return {};
    std::vector<double> w;
    for (std::size_t b = 0; b < draws.t.size(); ++b) {
      const double gain = std::abs(process.jump(draws.t[b], draws.end[b]).prediction);
      w.push_back(std::pow(std::max(gain, 1e-6), -options.jump_exponent));
    }
    return diffusion::sample_scales<T, D>(w);
  }
};

}  // namespace hypersd::distill
