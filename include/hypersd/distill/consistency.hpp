// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/planned.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/plan.hpp>
#include <utility>

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

  /// What a plan has for each sample, by the first of its two rows (the last two have one).
  enum Row : int {
    noised = 0,         ///< data and noise in x_t
    time = 2,           ///< what networks are given at t
    guidance = 4,       ///< of the teacher's branches
    teacher_step = 6,   ///< x_t and the guided prediction
    previous = 8,       ///< what networks are given at t'
    target_jump = 10,   ///< x' and its prediction
    student_jump = 12,  ///< x_t and its prediction
    end = 14,           ///< what networks are given at t_end; their input is not scaled there
    weight = 15         ///< |d Psi / d prediction|^-jump_exponent of the student's jump
  };
  /// One iteration's draws, noise and numbers.
  template <class T, class D>
  struct Plan : SamplePlan<T, D> {
    Draws draws;
    bool guided;  ///< whether the teacher's unconditional branch is evaluated
  };
  /// The plan of an iteration on data of `shape` [B, ...].
  template <class T, class D>
  Plan<T, D> plan(const Shape& shape, Randomness random) const {
    return planned(draw(rule, process, options, shape[0], random), draw_noise<T, D>(options, shape, random),
                   options.guidance_max > 1);
  }

  /// Both sides of Eq 12 at t_end.
  template <class T, class D>
  struct Samples {
    Var<T, D> student;
    Tensor<T, D> target;
    Numbers<T, D> end, scale;  ///< see `Where`
    double anchored;           ///< share of samples whose target is the teacher's own step
  };
  /// Draws, noises, steps and jumps. See `FromSides`.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return samples_by(plan<T, D>(batch.x0.shape(), random), student, teacher, target, batch);
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& draws, const Tensor<T, D>& noise) const {
    const auto& g = draws.guidance;
    return samples_by(planned(draws, noise, std::any_of(g.begin(), g.end(), [](double one) { return one > 1; })),
                      student, teacher, target, batch);
  }
  /// The same for a plan.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples_by(const Plan<T, D>& plan, const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch) const {
    const auto x_t = diffusion::combine(plan.form(noised), batch.x0, plan.noise);
    // The teacher's guided step. [Hyper-SD Eq. 1]
    const auto guided =
        diffusion::predict_guided(process, teacher, x_t, plan.template times<Process>(time), batch.condition,
                                  {plan.row(guidance), plan.row(guidance + 1)}, plan.guided);
    const auto x_previous = diffusion::combine(plan.form(teacher_step), x_t, guided);
    // The target's jump from there; a jump to where it stands is the identity. [Hyper-SD Eq. 12], right-hand side
    const auto from_target = diffusion::predict(process, target, x_previous, plan.template times<Process>(previous),
                                                batch.condition.conditional);
    const auto goal = diffusion::combine(plan.form(target_jump), x_previous, from_target);
    // The student's jump, the only one with a gradient. [Hyper-SD Eq. 12], left-hand side
    const Var<T, D> x(x_t);
    const auto f =
        diffusion::evaluate(process, student, x, plan.template times<Process>(time), batch.condition.conditional);
    double anchored = 0;
    for (std::size_t b = 0; b < plan.draws.t.size(); ++b)
      anchored += plan.draws.end[b] == plan.draws.previous[b] ? 1.0 : 0.0;
    return {diffusion::combine(plan.form(student_jump), x, f), goal, plan.row(end),
            options.jump_exponent == 0 ? Numbers<T, D>{} : plan.row(weight),
            anchored / static_cast<double>(plan.draws.t.size())};
  }

  /// Compares both sides.
  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student&, const Teacher&, const Target&,
                             const Batch<T, D, C>& batch, Randomness) const {
    return {distance(samples.student, samples.target, where(batch, samples)), {{"anchored", samples.anchored}}};
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
    return {samples.end, batch.condition.conditional, samples.scale};
  }

 private:
  /// The numbers of a sample, by `Row`.
  [[nodiscard]] std::array<double, 16> row_values(diffusion::Time t, diffusion::Time t_previous, diffusion::Time t_end,
                                                  double scale) const {
    const diffusion::Level l = process.level(t);
    const diffusion::GuidanceWeights weights = diffusion::guidance_weights(scale);
    const auto step = TeacherSolver{}.step(process, {t, t_previous, false});
    const diffusion::Form to = process.jump(t_previous, t_end), jump = process.jump(t, t_end);
    const double gain = std::max(std::abs(jump.prediction), 1e-6);
    return {l.alpha,
            l.sigma,
            process.network_time(t),
            process.input_scale(t),
            weights.conditional,
            weights.unconditional,
            step.x,
            step.prediction,
            process.network_time(t_previous),
            process.input_scale(t_previous),
            to.x,
            to.prediction,
            jump.x,
            jump.prediction,
            process.network_time(t_end),
            std::pow(gain, -options.jump_exponent)};
  }
  template <class T, class D>
  Plan<T, D> planned(Draws draws, Tensor<T, D> noise, bool guided) const {
    auto numbers = sample_plan(std::move(noise), [&](std::size_t b) {
      return row_values(draws.t[b], draws.previous[b], draws.end[b], draws.guidance[b]);
    });
    return {std::move(numbers), std::move(draws), guided};
  }
};

}  // namespace hypersd::distill
