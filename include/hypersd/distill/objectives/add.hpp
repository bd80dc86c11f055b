// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  diffusion::Times start = {249, 499, 749, 999};  ///< times at which the student starts; the highest is pure noise
  double distillation = 2.5;                      ///< weight of the teacher's term
  double guidance = 2;                            ///< of the teacher (g form)
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
    process.require_signal(highest(process, options.start));
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  requires diffusion::Denoiser<Student, T, D, C> && diffusion::Predictor<Teacher, T, D, C> LossResult<T, D> loss(
      const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch, Randomness random)
  const {
    const AddDraws d{choose_times(options.start, batch.x0.dim(0), random.stream("add.start"), random.first_sample),
                     diffusion::uniform_times(process, batch.x0.dim(0), random.stream("add.t"), random.first_sample)};
    return loss_at(student, teacher, batch, d, diffusion::normals<T, D>(batch.x0.shape(), random, "add.z"),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "add.noise"));
  }

  /// The same for given draws, starting noise and judging noise, both [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const AddDraws& d, const Tensor<T, D>& start_noise, const Tensor<T, D>& noise) const {
    const C& condition = batch.condition.conditional;
    const auto begin = start_states(process, batch.x0, start_noise, d.start, highest(process, options.start));
    const auto x = one_step(student, process, begin, d.start, condition);
    // The critic judges clean data, so at the first time. [Hyper-SD Eq. 6]
    const diffusion::Times first(d.t.size(), process.first());
    const Where<T, D, C> clean{diffusion::time_tensor<T, D>(process, first), condition, {}};
    const auto adversarial = Adversarial<Critic>{critic, {}}(x, batch.x0, clean);
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
};

}  // namespace hypersd::distill
