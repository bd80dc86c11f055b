// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/one_step.hpp>

/// \file
/// Terms that compare the student with data rather than with the teacher. The consistency trajectory model adds both to
/// Eq 5 (Kim et al. 2024, Eq 14): `sum_of(weighted(1, Ctm<>(process)), weighted(w, Denoising<>(process)), ...)`.

namespace hypersd::distill {

/// mean |x0hat(x_t) - x0|^2 at uniform times: denoising of data, which keeps the student's small jumps right. It is not
/// weighted: the error of an epsilon prediction counts sigma^2 / alpha^2 times, and on Stable Diffusion's table 63 % of
/// that weight comes from t >= 900.
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct Denoising {
  Process process;
  explicit Denoising(Process p) : process(std::move(p)) { process.require_signal(); }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher&, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    const auto t = diffusion::uniform_times(process, batch.x0.dim(0), random.stream("dsm.t"), random.first_sample);
    return loss_at(student, batch, t, diffusion::normals<T, D>(batch.x0.shape(), random, "dsm.noise"));
  }
  /// The same for given times and noise [B, ...].
  template <class Student, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Batch<T, D, C>& batch, const diffusion::Times& t,
                           const Tensor<T, D>& noise) const {
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, t);
    return {autograd::mse(one_step(student, process, x_t, t, batch.condition.conditional), batch.x0), {}};
  }
};

/// The judgement of a critic that knows data on the student's jumps from uniform times to clean data, or to where a
/// trajectory ends otherwise (`EndPoint::first_entry`: what is judged then has the noise of the first level, data have
/// none).
template <class Critic, diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct DataAdversarial : FromSamples<DataAdversarial<Critic, Process>> {
  Critic* critic = nullptr;
  Process process;
  diffusion::EndPoint end_point = diffusion::EndPoint::clean;
  DataAdversarial(Process p, Critic* c, diffusion::EndPoint end = diffusion::EndPoint::clean)
      : critic(c), process(std::move(p)), end_point(end) {
    process.require_signal();
  }

  /// The student's jumps.
  template <class T, class D>
  struct Samples {
    Var<T, D> x;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher&, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    const auto t = diffusion::uniform_times(process, batch.x0.dim(0), random.stream("gan.t"), random.first_sample);
    return samples_at(student, batch, t, diffusion::normals<T, D>(batch.x0.shape(), random, "gan.noise"));
  }
  /// The same for given times and noise [B, ...].
  template <class Student, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Batch<T, D, C>& batch, const diffusion::Times& t,
                           const Tensor<T, D>& noise) const {
    const Var<T, D> x(diffusion::add_noise(process, batch.x0, noise, t));
    const auto f = diffusion::evaluate(process, student, x, t, batch.condition.conditional);
    return {diffusion::jump(process, x, f, t, diffusion::Times(t.size(), process.time(end_point)))};
  }

  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student&, const Teacher&, const Target&,
                             const Batch<T, D, C>& batch, Randomness) const {
    return {Adversarial<Critic>{critic, {}}(samples.x, batch.x0, where_clean(process, batch)), {}};
  }
  /// The loss for given times and noise [B, ...].
  template <class Student, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Batch<T, D, C>& batch, const diffusion::Times& t,
                           const Tensor<T, D>& noise) const {
    return loss_from(samples_at(student, batch, t, noise), student, student, student, batch, {});
  }

  /// Trains the critic on the jumps, against data.
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
};

}  // namespace hypersd::distill
