// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distances/huber.hpp>

namespace hypersd::distill {

/// A student that is told the guidance scale it stands for: `net(x, t, condition, w)` with w = g - 1 a tensor [B].
template <class N, class T, class D, class C>
concept EmbedsGuidance = requires(const N& net, const Var<T, D>& x, const Numbers<T, D>& t, const C& c) {
  { net(x, t, c, t) } -> std::convertible_to<Var<T, D>>;
};

/// Latent consistency distillation (Luo et al. 2023): Eq 4 with the boundary condition in the parameterisation, on x0,
/// by the Huber distance; the student and the target see the teacher's guidance scale if they can. [Hyper-SD Eq. 4]
template <diffusion::Prediction P = diffusion::Epsilon, class Metric = Huber>
struct Lcm {
  using Options = ConsistencyOptions;
  Options options{};
  Metric distance{};
  diffusion::Lcm boundary{};  ///< its denoised form is the consistency function: the identity at t = 0
  diffusion::NoiseTable table;

  explicit Lcm(diffusion::NoiseTable noise, Options o = {}) : options(o), table(std::move(noise)) {
    require_signal<P>(table);
    require<OptionError>(o.jump_exponent == 0, "Lcm compares clean data: jump_exponent has no meaning");
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return loss_at(student, teacher, target, batch, draw(ToTheEnd{}, table, options, batch.x0.dim(0), random),
                   draw_noise<T, D>(options, batch.x0.shape(), random));
  }

  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& d, const Tensor<T, D>& noise) const {
    const P prediction;
    const C& condition = batch.condition.conditional;
    const auto x_t = diffusion::add_noise(table, batch.x0, noise, d.t);
    const auto t = diffusion::time_tensor<T, D>(d.t), before = diffusion::time_tensor<T, D>(d.previous);
    const auto guided = diffusion::predict_guided(teacher, x_t, t, batch.condition, d.guidance);
    const auto x_previous = diffusion::jump(table, prediction, x_t, guided, d.t, d.previous);
    Tensor<T, D> goal;
    {
      const autograd::NoGrad guard;
      goal = consistency(target, Var<T, D>(x_previous), d.previous, before, condition, d.guidance).value();
    }
    const auto guess = consistency(student, Var<T, D>(x_t), d.t, t, condition, d.guidance);
    return {distance(guess, goal, Where<T, D, C>{diffusion::time_tensor<T, D>(d.end), condition, {}}), {}};
  }

 private:
  template <class Net, class T, class D, class C>
  Var<T, D> consistency(const Net& net, const Var<T, D>& x, const diffusion::Times& times, const Numbers<T, D>& t,
                        const C& condition, const std::vector<double>& guidance) const {
    Var<T, D> f;
    if constexpr (EmbedsGuidance<Net, T, D, C>) {
      std::vector<double> w;
      for (const double g : guidance) w.push_back(g - 1);
      f = net(x, t, condition, diffusion::sample_scales<T, D>(w));
    } else if constexpr (diffusion::Denoiser<Net, T, D, C>) {
      f = net(x, t, condition);
    } else {
      f = Var<T, D>(diffusion::predict(net, x.value(), t, condition));
    }
    const auto form = diffusion::sample_forms<T, D>(
        x.dim(0), [&](std::size_t b) { return boundary.template denoised<P>(table, times[b]); });
    return diffusion::detail::apply(form, x, f);
  }
};

}  // namespace hypersd::distill
