// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/distill/time_proposal.hpp>
#include <limits>

namespace hypersd::distill {

/// sqrt(s + c^2) - c of a sum of squares s, times w: a length that is smooth near 0 for c > 0. At s = c = 0 the
/// derivative is taken as 0.
struct WeightedLength {
  double c = 0;
  template <class T>
  HYPERSD_HD T operator()(T s, T w) const {
    return w * (math::sqrt(s + T(c * c)) - T(c));
  }
  template <int I, class T>
  HYPERSD_HD T d(T s, T w) const {
    const T length = math::sqrt(s + T(c * c));
    return I == 1 ? length - T(c) : length > T(0) ? w / (T(2) * length) : T(0);
  }
};

/// Pairs of times of consistency training: the noise level of `t`, the next lower one that its target comes from, the
/// teacher's scale, the weight of the sample.
struct NearbyDraws {
  diffusion::Times t, next;
  std::vector<double> guidance, weight;
};

/// How near the two times of a pair are, the curriculum of easy consistency tuning, by the noise levels eta = sigma /
/// alpha (EDM's sigma): eta_next = max(0, eta (1 - (1 + 8 sigmoid(-eta)) / q^(stage + 1))).
struct NearbyTimes {
  double q = 2;                  ///< above 1
  int stage = 0;                 ///< of the first iteration; with q = 256 one stage is the whole training
  std::int64_t stage_steps = 0;  ///< the stage rises by 1 after so many iterations; 0: it stays
  double closest = 0.999;        ///< the largest share 1 - 1 / q^(stage + 1), so that times never coincide
  double eta_max = 80;           ///< higher noise levels are cut to this one

  /// 1 / q^(stage + 1) of iteration `step`.
  [[nodiscard]] double gap(std::int64_t step) const {
    const auto risen = stage_steps > 0 ? static_cast<double>(step / stage_steps) : 0.0;
    return std::max(1 - closest, std::pow(q, -(1 + stage + risen)));
  }
  /// eta_next of eta.
  [[nodiscard]] double next(double eta, std::int64_t step) const {
    return std::max(0.0, eta * (1 - gap(step) * (1 + 8 / (1 + std::exp(eta)))));
  }
  /// Throws OptionError for settings out of range.
  void validate(const char* objective) const {
    require<OptionError>(q > 1 && stage >= 0 && stage_steps >= 0 && closest > 0 && closest < 1 && eta_max > 0,
                         objective, ": q = ", q, ", stage = ", stage, ", stage_steps = ", stage_steps,
                         ", closest = ", closest, ", eta_max = ", eta_max);
  }
  /// Adds a sample with noise level `eta`, cut to `eta_max`, and the weight 1 / (eta - eta_next) times `weight`.
  template <diffusion::DiffusionProcess Process>
  void add(NearbyDraws& out, const Process& process, double eta, std::int64_t step, double scale,
           double weight = 1) const {
    const double from = std::min(eta, eta_max), to = next(from, step);
    out.t.push_back(process.time_at(-std::log(from)));
    out.next.push_back(to > 0 ? process.time_at(-std::log(to)) : process.clean());
    out.guidance.push_back(scale);
    out.weight.push_back(weight / (from - to));
  }
};

/// Settings of easy consistency tuning.
struct EasyConsistencyOptions {
  TimeProposal times{.mean = -1.1, .deviation = 2.0};  ///< published for CIFAR-10
  NearbyTimes nearby{};
  double huber = 0;                      ///< c of the distance sqrt(n^2 + c^2) - c; 0: the length n itself
  FlowSource source = FlowSource::data;  ///< what leads from x_t to the lower level: the same noise, or the teacher
  double guidance_min = 1, guidance_max = 1;  ///< of the teacher
};

namespace detail {

/// x at the lower level of each pair: the same data and noise, or where one step of the teacher lands.
template <diffusion::DiffusionProcess Process, class Teacher, class T, class D, class C>
Tensor<T, D> x_next(FlowSource source, const Process& process, const Teacher& teacher, const Batch<T, D, C>& batch,
                    const Tensor<T, D>& x_t, const Tensor<T, D>& noise, const NearbyDraws& d) {
  if (source == FlowSource::data) return diffusion::add_noise(process, batch.x0, noise, d.next);
  const auto f = diffusion::predict_guided(process, teacher, x_t, d.t, batch.condition, d.guidance);
  return diffusion::jump(process, x_t, f, d.t, d.next);
}
/// Clean data of `net` at x and times t, without gradient; x itself where t is the time of clean data.
template <diffusion::DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> clean_or_x(const Process& process, const Net& net, const Tensor<T, D>& x, const diffusion::Times& t,
                        const C& condition) {
  // Networks are not asked below `first()`, where EDM's time has no logarithm.
  diffusion::Times asked = t;
  for (auto& time : asked) time = std::max(time, process.first());
  const auto f = diffusion::predict(process, net, x, asked, condition);
  return diffusion::combine(
      diffusion::sample_forms<T, D>(x.dim(0),
                                    [&](std::size_t b) {
                                      return t[b] == process.clean() ? diffusion::Form{1, 0} : process.x0(t[b]);
                                    }),
      x, f);
}
/// Mean over the samples of weight (sqrt(|D - goal|^2 + c^2) - c), D the student's clean data at x_t.
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
Var<T, D> pair_loss(const Process& process, const Student& student, const Tensor<T, D>& x_t, const Tensor<T, D>& goal,
                    const NearbyDraws& d, double huber, const C& condition) {
  const Var<T, D> x(x_t);
  const auto gap =
      autograd::sub(diffusion::x0_of(process, x, diffusion::evaluate(process, student, x, d.t, condition), d.t), goal);
  const auto squares = autograd::sum_to_samples(autograd::mul(gap, gap));
  return autograd::map_mean(WeightedLength{huber}, squares, diffusion::sample_scales<T, D>(d.weight));
}

}  // namespace detail

/// Easy consistency tuning (Geng et al., "Consistency models made easy"): a diffusion model becomes a consistency model
/// of clean data D by training from data,
///
///   mean |D(x_t, t) - stopgrad D(x_r, r)| / (eta_t - eta_r),   D(x_r, r) = x0 where eta_r = 0,
///
/// where x_t and x_r have the same data and noise. Pairs begin far apart, where this is diffusion training, and come
/// nearer by the curriculum of `NearbyTimes`. With a teacher x_r is where one step of it lands (consistency
/// distillation). Written by the noise level eta = sigma / alpha, so that every continuous process has the same.
template <diffusion::DiffusionProcess Process>
struct EasyConsistency {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = EasyConsistencyOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit EasyConsistency(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    o.nearby.validate("easy consistency tuning");
    require_guidance_range(o.guidance_min, o.guidance_max);
    require<OptionError>(o.huber >= 0 && o.times.deviation >= 0, "easy consistency tuning: huber = ", o.huber,
                         ", deviation of times = ", o.times.deviation);
  }
  explicit EasyConsistency(Options o = {}) requires std::default_initializable<Process>
      : EasyConsistency(Process(), o) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "easy.noise"));
  }
  [[nodiscard]] NearbyDraws draw(std::int64_t batch, Randomness random) const {
    const Stream times = random.stream("easy.time"), rest = random.stream("easy.draw");
    NearbyDraws out;
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const auto at = static_cast<std::uint64_t>(b);
      const diffusion::Level l = process.level(options.times.draw(process, times, at));
      const double eta = l.alpha > 0 ? l.sigma / l.alpha : std::numeric_limits<double>::infinity();
      options.nearby.add(out, process, eta, random.step,
                         uniform_between(options.guidance_min, options.guidance_max, rest, at));
    }
    return out;
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const NearbyDraws& d, const Tensor<T, D>& noise) const {
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const auto x_r = detail::x_next(options.source, process, teacher, batch, x_t, noise, d);
    const C& condition = batch.condition.conditional;
    return {detail::pair_loss(process, student, x_t, detail::clean_or_x(process, student, x_r, d.next, condition), d,
                              options.huber, condition),
            {}};
  }
};

}  // namespace hypersd::distill
