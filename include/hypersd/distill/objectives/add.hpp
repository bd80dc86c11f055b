// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/one_step.hpp>

namespace hypersd::distill {

/// Weight c(t) of adversarial diffusion distillation's second term.
enum class AddWeight {
  exponential,  ///< alpha_t, the default of the paper
  sds           ///< sigma_t^2 alpha_t / (2 sigma_t): the gradient of score distillation
};

/// Settings of adversarial diffusion distillation.
struct AddOptions {
  /// Times at which the student starts; the highest is pure noise. Empty: the process's grid of four steps.
  diffusion::Times start = {};
  double distillation = 2.5;  ///< weight of the teacher's term
  double guidance = 2;        ///< of the teacher (g form)
  AddWeight weight = AddWeight::exponential;
};

/// One iteration's draws.
struct AddDraws {
  diffusion::Times start, t;
};

/// Adversarial diffusion distillation (Sauer et al. 2023): the student's one-step data must pass a critic that knows
/// real data, and agree with what the teacher makes of them after they are noised again. [Hyper-SD Eq. 6, 7]
template <class Critic, diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct Add : FromSamples<Add<Critic, Process>> {
  using Options = AddOptions;
  Options options{};
  Critic* critic = nullptr;
  Process process;

  Add(Process p, Critic* c, Options o = {}) : options(std::move(o)), critic(c), process(std::move(p)) {
    require<OptionError>(critic != nullptr, "Add without a critic");
    if (options.start.empty()) {
      options.start = process.grid(4);
      std::reverse(options.start.begin(), options.start.end());
    }
    process.require_signal(highest(process, options.start));
  }

  /// Start times and times of comparison of `batch` samples.
  [[nodiscard]] AddDraws draw(std::int64_t batch, Randomness random) const {
    return {choose_times(options.start, batch, random.stream("add.start"), random.first_sample),
            diffusion::uniform_times(process, batch, random.stream("add.t"), random.first_sample)};
  }

  /// The student's clean data.
  template <class T, class D>
  struct Samples {
    Var<T, D> x;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher&, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return samples_at(student, batch, draw(batch.x0.dim(0), random).start,
                      diffusion::normals<T, D>(batch.x0.shape(), random, "add.z"));
  }
  /// The same for given start times and starting noise [B, ...].
  template <class Student, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Batch<T, D, C>& batch, const diffusion::Times& start,
                           const Tensor<T, D>& start_noise) const {
    return {few_step_samples(student, process, batch, start, start_noise, options.start)};
  }

  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student&, const Teacher& teacher, const Target&,
                             const Batch<T, D, C>& batch, Randomness random) const {
    return judged(samples.x, teacher, batch, draw(batch.x0.dim(0), random).t,
                  diffusion::normals<T, D>(batch.x0.shape(), random, "add.noise"));
  }
  /// The loss for given draws, starting noise and noise of the comparison, both [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const AddDraws& d, const Tensor<T, D>& start_noise, const Tensor<T, D>& noise) const {
    return judged(samples_at(student, batch, d.start, start_noise).x, teacher, batch, d.t, noise);
  }

  /// Trains the critic on the samples, against data.
  template <class T, class D, class Student, class Teacher, class Target, class C, class Average>
  requires LearningCritic<Critic, T, D, C>
  void learn_from(const Samples<T, D>& samples, const Student&, const Teacher&, const Target&,
                  const Batch<T, D, C>& batch, Randomness, const Average& average) const {
    Adversarial<Critic>{critic, {}}.learn(samples.x.value(), batch.x0, where_clean(process, batch), average);
  }
  /// The critic, for checkpoints.
  template <class F>
  requires requires(F& f) { std::declval<const Critic&>().visit_state(f, std::string()); }
  void visit_state(F&& f, const std::string& prefix) const {
    if (critic) critic->visit_state(f, prefix + "critic.");
  }

 private:
  /// The loss of samples x, noised to the times t for the teacher.
  template <class Teacher, class T, class D, class C>
  LossResult<T, D> judged(const Var<T, D>& x, const Teacher& teacher, const Batch<T, D, C>& batch,
                          const diffusion::Times& t, const Tensor<T, D>& noise) const {
    const auto adversarial = Adversarial<Critic>{critic, {}}(x, batch.x0, where_clean(process, batch));
    const auto x_t = diffusion::add_noise(process, x.value(), noise, t);
    const auto teachers =
        predicted_x0(teacher, process, x_t, t, batch.condition, std::vector<double>(t.size(), options.guidance));
    std::vector<double> roots;
    for (const diffusion::Time time : t) {
      const diffusion::Level l = process.level(time);
      const double c = options.weight == AddWeight::exponential ? l.alpha : 0.5 * l.sigma * l.alpha;
      roots.push_back(std::sqrt(c));
    }
    const auto root = ops::per_sample(diffusion::sample_scales<T, D>(roots));
    const auto distillation = autograd::mse(autograd::mul(x, root), ops::map(ops::Mul{}, teachers, root));
    const auto weight = static_cast<Accumulator<T>>(options.distillation);
    return {autograd::linear_combination(1, adversarial, weight, distillation),
            {{"adversarial", adversarial.value()}, {"distillation", distillation.value()}}};  // [Hyper-SD Eq. 7]
  }
};

}  // namespace hypersd::distill
