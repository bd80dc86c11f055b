// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distances/huber.hpp>

namespace hypersd::distill {

/// A student that is told the guidance scale it stands for: `net(x, t, condition, w)` with w = max(0, g - 1) a tensor
/// [B], as the sampler's `EmbeddedGuidance` tells it.
template <class N, class T, class D, class C>
concept EmbedsGuidance = requires(const N& net, const Var<T, D>& x, const Numbers<T, D>& t, const C& c) {
  { net(x, t, c, t) } -> std::convertible_to<Var<T, D>>;
};

/// Latent consistency distillation (Luo et al. 2023): Eq 4 with the boundary condition in the parameterisation, on x0,
/// by the Huber distance; the student and the target see the teacher's guidance scale if they can. [Hyper-SD Eq. 4]
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Huber>
struct Lcm : FromSides<Lcm<Process, Metric>, Metric> {
  using Options = ConsistencyOptions;
  Options options{};
  Metric distance{};
  diffusion::Lcm boundary{};  ///< its denoised form is the consistency function: the identity at t = 0
  Process process;

  explicit Lcm(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    require<OptionError>(o.jump_exponent == 0, "Lcm compares clean data: jump_exponent has no meaning");
  }

  /// The consistency functions of student and target, with their draws.
  template <class T, class D>
  struct Samples {
    Var<T, D> student;
    Tensor<T, D> target;
    Draws draws;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return samples_at(student, teacher, target, batch, draw(ToTheEnd{}, process, options, batch.x0.dim(0), random),
                      draw_noise<T, D>(options, batch.x0.shape(), random));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& d, const Tensor<T, D>& noise) const {
    const C& condition = batch.condition.conditional;
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const auto guided = diffusion::predict_guided(process, teacher, x_t, d.t, batch.condition, d.guidance);
    const auto x_previous = diffusion::jump(process, x_t, guided, d.t, d.previous);
    Tensor<T, D> goal;
    {
      const autograd::NoGrad guard;
      goal = consistency(target, Var<T, D>(x_previous), d.previous, condition, d.guidance).value();
    }
    return {consistency(student, Var<T, D>(x_t), d.t, condition, d.guidance), goal, d};
  }

  /// The loss for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& d, const Tensor<T, D>& noise) const {
    return this->loss_from(samples_at(student, teacher, target, batch, d, noise), student, teacher, target, batch, {});
  }

  /// Where both sides stand.
  template <class T, class D, class C>
  Where<T, D, C> where(const Batch<T, D, C>& batch, const Samples<T, D>& samples) const {
    return {diffusion::time_tensor<T, D>(process, samples.draws.end), batch.condition.conditional, {}};
  }

 private:
  template <class Net, class T, class D, class C>
  Var<T, D> consistency(const Net& net, const Var<T, D>& x, const diffusion::Times& times, const C& condition,
                        const std::vector<double>& guidance) const {
    Var<T, D> f;
    if constexpr (EmbedsGuidance<Net, T, D, C>) {
      std::vector<double> w;
      for (const double g : guidance) w.push_back(std::max(0.0, g - 1));
      f = diffusion::evaluate(process, net, x, times, condition, diffusion::sample_scales<T, D>(w));
    } else if constexpr (diffusion::Denoiser<Net, T, D, C>) {
      f = diffusion::evaluate(process, net, x, times, condition);
    } else {
      f = Var<T, D>(diffusion::predict(process, net, x.value(), times, condition));
    }
    const auto form =
        diffusion::sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return boundary.denoised(process, times[b]); });
    return diffusion::combine(form, x, f);
  }
};

}  // namespace hypersd::distill
