// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/inject_gradient.hpp>
#include <hypersd/distill/one_step.hpp>
#include <optional>

namespace hypersd::distill {

/// Settings of score distillation sampling.
struct SdsOptions {
  std::optional<diffusion::Time> start{};  ///< time of the student's one evaluation; the process's last by default
  double guidance = 2;                     ///< the teacher's scale (g form)
  double t_min = 0.02, t_max = 0.98;       ///< range of the times of comparison, shares of the process
  bool sigma_weight = true;                ///< w(t) = sigma_t^2, else 1
};

/// Score distillation sampling (Poole et al. 2023) of a one-step student: its sample, noised to a random time, is moved
/// by w(t) (eps_teacher - eps). Seeks modes; the baseline that distribution matching improves on.
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct Sds {
  using Options = SdsOptions;
  Options options{};
  Process process;
  explicit Sds(Process p, Options o = {}) : options(o), process(std::move(p)) {
    if (!options.start) options.start = process.last();
    process.require_signal(*options.start);
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    const auto t = diffusion::uniform_times(process, batch.x0.dim(0), random.stream("sds.t"), random.first_sample,
                                            options.t_min, options.t_max);
    return loss_at(student, teacher, batch, t, diffusion::normals<T, D>(batch.x0.shape(), random, "sds.start"),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "sds.noise"));
  }

  /// The same for given times of comparison t, starting noise z and noise of the comparison, both [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const diffusion::Times& t, const Tensor<T, D>& z, const Tensor<T, D>& noise) const {
    const auto size = static_cast<std::size_t>(z.dim(0));
    const auto x = one_step(student, process, z, diffusion::Times(size, *options.start), batch.condition.conditional);
    const auto x_t = diffusion::add_noise(process, x.value(), noise, t);
    const auto f = diffusion::predict_guided(process, teacher, x_t, t, batch.condition,
                                             std::vector<double>(size, options.guidance));
    const auto eps = diffusion::eps_of(process, x_t, f, t);
    std::vector<double> w;
    for (const diffusion::Time time : t) {
      const double s = process.sigma(time);
      w.push_back(options.sigma_weight ? s * s : 1.0);
    }
    const auto weight = diffusion::sample_scales<T, D>(w);
    const auto g = ops::map(ops::Mul{}, ops::map(ops::Sub{}, eps, noise), ops::per_sample(weight));
    return {inject_gradient(x, g), {}};
  }
};

}  // namespace hypersd::distill
