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
struct Add {
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

  template <class Student, class Teacher, class Target, class T, class D, class C>
  requires diffusion::Denoiser<Student, T, D, C> && diffusion::Predictor<Teacher, T, D, C> LossResult<T, D> loss(
      const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch, Randomness random)
  const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "add.z"),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "add.noise"));
  }

  /// Start times and times of comparison of `batch` samples.
  [[nodiscard]] AddDraws draw(std::int64_t batch, Randomness random) const {
    return {choose_times(options.start, batch, random.stream("add.start"), random.first_sample),
            diffusion::uniform_times(process, batch, random.stream("add.t"), random.first_sample)};
  }

  /// The same for given draws, starting noise and noise of the comparison, both [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const AddDraws& d, const Tensor<T, D>& start_noise, const Tensor<T, D>& noise) const {
    const auto x = few_step_samples(student, process, batch, d.start, start_noise, options.start);
    const auto adversarial = Adversarial<Critic>{critic, {}}(x, batch.x0, where_clean(process, batch));
    const auto x_t = diffusion::add_noise(process, x.value(), noise, d.t);
    const auto teachers =
        predicted_x0(teacher, process, x_t, d.t, batch.condition, std::vector<double>(d.t.size(), options.guidance));
    std::vector<double> roots;
    for (const diffusion::Time t : d.t) {
      const diffusion::Level l = process.level(t);
      const double c = options.weight == AddWeight::exponential ? l.alpha : 0.5 * l.sigma * l.alpha;
      roots.push_back(std::sqrt(c));
    }
    const auto root = ops::per_sample(diffusion::sample_scales<T, D>(roots));
    const auto distillation = autograd::mse(autograd::mul(x, root), ops::map(ops::Mul{}, teachers, root));
    const auto weight = static_cast<Accumulator<T>>(options.distillation);
    return {autograd::linear_combination(1, adversarial, weight, distillation),
            {{"adversarial", static_cast<double>(adversarial.item())},
             {"distillation", static_cast<double>(distillation.item())}}};  // [Hyper-SD Eq. 7]
  }

  /// Trains the critic on the samples of the same draws, against data.
  template <class Student, class Teacher, class Target, class T, class D, class C, class Average = OwnGradients>
  requires LearningCritic<Critic, T, D, C>
  void learn(const Student& student, const Teacher&, const Target&, const Batch<T, D, C>& batch, Randomness random,
             const Average& average = {}) const {
    learn_at(student, batch, draw(batch.x0.dim(0), random).start,
             diffusion::normals<T, D>(batch.x0.shape(), random, "add.z"), average);
  }
  /// The same for given start times and starting noise.
  template <class Student, class T, class D, class C, class Average = OwnGradients>
  void learn_at(const Student& student, const Batch<T, D, C>& batch, const diffusion::Times& start,
                const Tensor<T, D>& start_noise, const Average& average = {}) const {
    const auto x =
        without_tape([&] { return few_step_samples(student, process, batch, start, start_noise, options.start); });
    Adversarial<Critic>{critic, {}}.learn(x.value(), batch.x0, where_clean(process, batch), average);
  }
  /// The critic, for checkpoints.
  template <class F>
  requires requires(F& f) { std::declval<const Critic&>().visit_state(f, std::string()); }
  void visit_state(F&& f, const std::string& prefix) const {
    if (critic) critic->visit_state(f, prefix + "critic.");
  }
};

}  // namespace hypersd::distill
