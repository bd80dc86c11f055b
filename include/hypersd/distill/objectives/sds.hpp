// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/inject_gradient.hpp>
#include <hypersd/distill/one_step.hpp>

namespace hypersd::distill {

/// Settings of score distillation sampling.
struct SdsOptions {
  int start = -1;                     ///< time of the student's one evaluation; -1: the last of the table
  double guidance = 2;                ///< the teacher's scale (g form)
  double t_min = 0.02, t_max = 0.98;  ///< range of judged times, shares of T
  bool sigma_weight = true;           ///< w(t) = sigma_t^2, else 1
};

/// Score distillation sampling (Poole et al. 2023) of a one-step student: its sample, noised to a random time, is moved
/// by w(t) (eps_teacher - eps). Seeks modes; the baseline that distribution matching improves on.
template <diffusion::Prediction P = diffusion::Epsilon>
struct Sds {
  using Options = SdsOptions;
  Options options{};
  diffusion::NoiseTable table;
  explicit Sds(diffusion::NoiseTable noise, Options o = {}) : options(o), table(std::move(noise)) {
    if (options.start < 0) options.start = table.size() - 1;
    require_signal<P>(table, options.start);
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  requires diffusion::Denoiser<Student, T, D, C> && diffusion::Predictor<Teacher, T, D, C> LossResult<T, D> loss(
      const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch, Randomness random)
  const {
    const auto t =
        times_within(table, options.t_min, options.t_max, batch.x0.dim(0), random.stream("sds.t"), random.first_sample);
    return loss_at(student, teacher, batch, t, diffusion::normals<T, D>(batch.x0.shape(), random, "sds.start"),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "sds.noise"));
  }

  /// The same for given judged times t, starting noise z and judging noise, both [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const diffusion::Times& t, const Tensor<T, D>& z, const Tensor<T, D>& noise) const {
    const P prediction;
    const auto size = static_cast<std::size_t>(z.dim(0));
    const auto x =
        one_step(student, table, prediction, z, diffusion::Times(size, options.start), batch.condition.conditional);
    const auto x_t = diffusion::add_noise(table, x.value(), noise, t);
    const auto f = diffusion::predict_guided(teacher, x_t, diffusion::time_tensor<T, D>(t), batch.condition,
                                             std::vector<double>(size, options.guidance));
    const auto eps = diffusion::eps_of(table, prediction, x_t, f, t);
    std::vector<double> w;
    for (const int time : t) {
      const double s = table.sigma(time);
      w.push_back(options.sigma_weight ? s * s : 1.0);
    }
    const auto weight = diffusion::sample_scales<T, D>(w);
    const auto g = ops::map(ops::Mul{}, ops::map(ops::Sub{}, eps, noise), ops::per_sample(weight));
    return {inject_gradient(x, g), {}};
  }
};

}  // namespace hypersd::distill
