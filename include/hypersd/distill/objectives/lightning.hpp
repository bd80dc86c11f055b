// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/jump_walk.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/one_step.hpp>
#include <hypersd/distill/trajectory_critic.hpp>

namespace hypersd::distill {

/// Settings of progressive adversarial distillation.
struct LightningOptions {
  int steps = 4;                              ///< jumps of the student from T - 1 to 0
  int teacher_steps = 2;                      ///< DDIM steps of the teacher within one jump
  double guidance_min = 1, guidance_max = 1;  ///< the teacher's scale; in the first stage only
  double mse_weight = 1;                      ///< 1 with an adversarial weight of 0 is the first stage
  double adversarial_weight = 0;
};

/// One iteration's draws: the jump t -> end.
struct LightningDraws {
  diffusion::Times t, end;
  std::vector<double> guidance;
};

/// A critic that is trained on jumps: `learn(fake, real, t, origin, condition, average)` is one update.
template <class K, class T, class D, class C>
concept LearningTrajectoryCritic = requires(K& critic, const Tensor<T, D>& x, const Numbers<T, D>& t,
                                            const Origin<T, D>& origin, const C& condition) {
  critic.learn(x, x, t, origin, condition, OwnGradients{});
};

/// Output parameterization of the student of progressive adversarial distillation.
struct AsTeacher {};  ///< in the teacher's prediction type
struct OneStepX0 {};  ///< as clean data: a noise prediction at T - 1 amplifies errors by sigma / alpha

/// Progressive adversarial distillation (Lin et al. 2024, SDXL-Lightning): one jump of the student replaces several of
/// its teacher, compared by a critic on the jump's end and beginning (`TrajectoryCritic`), or by MSE in the first
/// stage. A jump's clean end is judged as it is, without new noise. `Mode` `OneStepX0` is the one-step model that
/// predicts clean data.
template <class Critic, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Mode = AsTeacher,
          diffusion::Prediction TeacherPrediction = typename Process::Prediction>
struct Lightning : FromSamples<Lightning<Critic, Process, Mode, TeacherPrediction>> {
  static_assert(!std::same_as<Mode, OneStepX0> || std::same_as<typename Process::Prediction, diffusion::X0>,
                "Lightning's one-step mode predicts clean data: use the X0 prediction");
  using Options = LightningOptions;
  Options options{};
  Critic* critic = nullptr;
  Process process;

  Lightning(Process p, Critic* c, Options o = {}) : options(o), critic(c), process(std::move(p)) {
    (void)grid();
    process.require_signal();
    teacher_process().require_signal();
    require_weight("Lightning", "mse_weight", o.mse_weight);
    require_weight("Lightning", "adversarial_weight", o.adversarial_weight);
    require<OptionError>(o.adversarial_weight == 0 || critic != nullptr, "Lightning: an adversarial weight of ",
                         o.adversarial_weight, " without a critic");
    require<OptionError>(o.mse_weight > 0 || o.adversarial_weight > 0, "Lightning: both weights are 0");
  }

  /// The teacher's process: the same schedule with its own prediction.
  [[nodiscard]] auto teacher_process() const { return process.template with<TeacherPrediction>(); }
  [[nodiscard]] JumpGrid grid() const { return {process, options.steps, options.teacher_steps}; }

  /// A uniform one of the jumps for each sample.
  [[nodiscard]] LightningDraws draw(std::int64_t batch, Randomness random) const {
    const JumpGrid jumps = grid();
    const JumpDraws d = draw_jumps(jumps, batch, options.guidance_min, options.guidance_max,
                                   random.stream("lightning.draw"), random.first_sample);
    return {jumps.times(d.jumps, 0), jumps.times(d.jumps, jumps.stops()), d.guidance};
  }

  /// One jump of each sample: where it begins, and where the teacher's and the student's end.
  template <class T, class D>
  struct Samples {
    Tensor<T, D> begin, teacher;
    Var<T, D> student;
    LightningDraws draws;
  };
  /// A jump that begins at the last time begins in pure noise, where sampling begins.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return samples_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                      diffusion::normals<T, D>(batch.x0.shape(), random, "lightning.noise"));
  }
  /// The same for given draws (of `grid()`) and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const LightningDraws& d, const Tensor<T, D>& noise) const {
    const auto x_t = start_states(process, batch.x0, noise, d.t, process.last());
    const auto real = walk_jumps(grid(), teacher, teacher_process(), x_t, d.t, batch.condition, d.guidance);
    const Var<T, D> x(x_t);
    const auto f = diffusion::evaluate(process, student, x, d.t, batch.condition.conditional);
    return {x_t, real, diffusion::jump(process, x, f, d.t, d.end), d};
  }

  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student&, const Teacher&, const Target&,
                             const Batch<T, D, C>& batch, Randomness) const {
    LossResult<T, D> out;
    if (options.mse_weight > 0) {
      const auto mse = autograd::mse(samples.student, samples.teacher);
      out.loss = autograd::affine(mse, static_cast<Accumulator<T>>(options.mse_weight));
      out.diagnostics.emplace_back("mse", mse.value());
    }
    if constexpr (!std::same_as<Critic, NoCritic>) {
      if (options.adversarial_weight > 0) {
        const auto adversarial =
            non_saturating((*critic)(samples.student, end(samples), origin(samples), batch.condition.conditional));
        const auto term = autograd::affine(adversarial, static_cast<Accumulator<T>>(options.adversarial_weight));
        out.loss = out.loss.defined() ? autograd::add(out.loss, term) : term;
        out.diagnostics.emplace_back("adversarial", adversarial.value());
      }
    }
    return out;
  }

  /// The loss for given draws (of `grid()`) and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const LightningDraws& d, const Tensor<T, D>& noise) const {
    return loss_from(samples_at(student, teacher, batch, d, noise), student, teacher, teacher, batch, {});
  }

  /// Trains the critic on the jumps, where it has a weight.
  template <class T, class D, class Student, class Teacher, class Target, class C, class Average>
  requires LearningTrajectoryCritic<Critic, T, D, C>
  void learn_from(const Samples<T, D>& samples, const Student&, const Teacher&, const Target&,
                  const Batch<T, D, C>& batch, Randomness, const Average& average) const {
    if (learns())
      critic->learn(samples.student.value(), samples.teacher, end(samples), origin(samples),
                    batch.condition.conditional, average);
  }
  [[nodiscard]] bool learns() const { return options.adversarial_weight > 0; }
  /// The critic, for checkpoints.
  template <class F>
  requires requires(F& f) { std::declval<const Critic&>().visit_state(f, std::string()); }
  void visit_state(F&& f, const std::string& prefix) const {
    if (critic) critic->visit_state(f, prefix + "critic.");
  }

 private:
  template <class T, class D>
  Numbers<T, D> end(const Samples<T, D>& samples) const {
    return diffusion::time_tensor<T, D>(process, samples.draws.end);
  }
  template <class T, class D>
  Origin<T, D> origin(const Samples<T, D>& samples) const {
    return {samples.begin, diffusion::time_tensor<T, D>(process, samples.draws.t)};
  }
};

}  // namespace hypersd::distill
