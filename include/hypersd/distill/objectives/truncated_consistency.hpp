// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/objectives/easy_consistency.hpp>

namespace hypersd::distill {

/// Settings of truncated consistency training.
struct TruncatedConsistencyOptions {
  double eta_from = 1;             ///< noise level at which the first stage's model takes over; CIFAR-10: 1
  double boundary_share = 0.25;    ///< share of samples at that level
  double boundary_weight = 0.1;    ///< of their terms
  NearbyTimes nearby{.stage = 8};  ///< the curriculum is at its end
  double huber = 0;
};

/// Truncated consistency models (Lee et al.), the second stage: the student learns to jump from noise levels above
/// `eta_from` alone, and leaves those below to the model of the first stage, which is the `teacher` here. Loss and
/// pairs are those of easy consistency tuning, noise levels are uniform in their logarithm. Targets at or below
/// `eta_from` are the first stage's. The samples at the boundary hold the student to it: without them a constant would
/// have no loss.
template <diffusion::DiffusionProcess Process>
struct TruncatedConsistency {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = TruncatedConsistencyOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit TruncatedConsistency(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    o.nearby.validate("truncated consistency");
    require<OptionError>(o.eta_from > 0 && o.eta_from < o.nearby.eta_max && 0 <= o.boundary_share &&
                             o.boundary_share <= 1 && o.huber >= 0,
                         "truncated consistency: eta_from = ", o.eta_from, ", boundary_share = ", o.boundary_share,
                         ", huber = ", o.huber);
    require_weight("truncated consistency", "boundary_weight", o.boundary_weight);
  }
  explicit TruncatedConsistency(Options o = {}) requires std::default_initializable<Process>
      : TruncatedConsistency(Process(), o) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "truncated.noise"));
  }
  /// Which samples are at the boundary depends on their place in the whole batch alone.
  [[nodiscard]] NearbyDraws draw(std::int64_t batch, Randomness random) const {
    const Stream times = random.stream("truncated.time");
    const double low = std::log(options.eta_from), high = std::log(options.nearby.eta_max);
    NearbyDraws out;
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const double share = options.boundary_share;
      const bool boundary = std::floor(static_cast<double>(b + 1) * share) > std::floor(static_cast<double>(b) * share);
      const double eta =
          boundary ? options.eta_from : std::exp(uniform_between(low, high, times, static_cast<std::uint64_t>(b)));
      options.nearby.add(out, process, eta, random.step, 1, boundary ? options.boundary_weight : 1);
    }
    return out;
  }
  /// The same for given draws and noise [B, ...]; `first_stage` is not trained.
  template <class Student, class FirstStage, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const FirstStage& first_stage, const Batch<T, D, C>& batch,
                           const NearbyDraws& d, const Tensor<T, D>& noise) const {
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const auto x_r = diffusion::add_noise(process, batch.x0, noise, d.next);
    const C& condition = batch.condition.conditional;
    const auto below = detail::clean_or_x(process, first_stage, x_r, d.next, condition);
    const auto above = detail::clean_or_x(process, student, x_r, d.next, condition);
    const auto goal =
        diffusion::combine(diffusion::sample_forms<T, D>(x_t.dim(0),
                                                         [&](std::size_t b) {
                                                           const diffusion::Level l = process.level(d.next[b]);
                                                           const bool low = l.sigma <= options.eta_from * l.alpha;
                                                           return diffusion::Form{low ? 1.0 : 0.0, low ? 0.0 : 1.0};
                                                         }),
                           below, above);
    return {detail::pair_loss(process, student, x_t, goal, d, options.huber, condition), {}};
  }
};

}  // namespace hypersd::distill
