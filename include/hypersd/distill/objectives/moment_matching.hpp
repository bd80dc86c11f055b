// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/jump_drift.hpp>

namespace hypersd::distill {

/// exp(-c |d|) of a sum of squares s = |d|^2. Below |d| = 1e-8 it is constant.
struct LaplaceKernel {
  template <class T>
  HYPERSD_HD T operator()(T s, T c) const {
    return math::exp(-c * math::sqrt(s > T(1e-16) ? s : T(1e-16)));
  }
  template <int I, class T>
  HYPERSD_HD T d(T s, T c) const {
    if (!(s > T(1e-16))) return T(0);
    const T length = math::sqrt(s);
    return math::exp(-c * length) * (I == 0 ? -c / (T(2) * length) : -length);
  }
};
/// -|d|^2, with which moment matching compares means; with one particle it is consistency training.
struct SquaredDistanceKernel {
  template <class T>
  HYPERSD_HD T operator()(T s, T) const {
    return -s;
  }
  template <int I, class T>
  HYPERSD_HD T d(T, T) const {
    return I == 0 ? T(-1) : T(0);
  }
};

/// Settings of inductive moment matching.
struct MomentMatchingOptions {
  std::int64_t particles = 4;  ///< samples that share their times and are compared as sets; they divide the batch
  double eta_max = 160;        ///< noise levels sigma / alpha above it are cut (published: times up to 0.994)
  int gap_exponent = 12;       ///< eta_r = eta_t - eta_max / 2^gap_exponent, but at least eta_s
  double scale = 0.5;          ///< of the kernel, times the prediction's part in the jump: the data's deviation
  double weight_offset = 4;    ///< b of the weight, published: 4 or 5
  double alpha_power = 1;      ///< a of the weight, at least 1, published: 1 or 2
};

/// Inductive moment matching (Zhou et al.): a student with two times learns from data, without a teacher and without
/// derivatives, that its jumps X to s from t and from a lower r have the same distribution. In each group of particles
///
///   w (mean k(y, y') + mean k(z, z') - 2 mean k(y, z)),   y = X(x_t, t -> s), z = stopgrad X(x_r, r -> s),
///
/// over all pairs, where x_r has the data and noise of x_t; k(y, z) = exp(-|y - z| / (c D)) for D elements, c = `scale`
/// times the prediction's part in the jump from t to s (on a rectified flow t - s); and, with lambda = ln(alpha^2 /
/// sigma^2) and W = alpha sigma' - alpha' sigma, w = sigmoid(b - lambda) W alpha^(a - 1) / (sigma (alpha^2 + sigma^2)).
/// The exact flow map has equal distributions, but the pairs of one group are few: its loss is 0 for large groups only.
template <diffusion::DiffusionProcess Process = diffusion::Flow, class Kernel = LaplaceKernel>
struct MomentMatching {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = MomentMatchingOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit MomentMatching(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    require<OptionError>(o.particles >= 1 && o.eta_max > 0 && o.gap_exponent >= 1 && o.scale > 0 && o.alpha_power >= 1,
                         "moment matching: particles = ", o.particles, ", eta_max = ", o.eta_max,
                         ", gap_exponent = ", o.gap_exponent, ", scale = ", o.scale, ", alpha_power = ", o.alpha_power);
  }
  explicit MomentMatching(Options o = {}) requires std::default_initializable<Process> : MomentMatching(Process(), o) {}

  /// Times t, the lower r and the end s <= r of each sample; `middle` is r.
  struct Draws {
    diffusion::Times t, middle, end;
  };
  /// t uniform, s uniform below it, the same for all particles of a group.
  [[nodiscard]] Draws draw(std::int64_t batch, Randomness random) const {
    const Stream s = random.stream("moments.time");
    require<ShapeError>(batch % options.particles == 0 && random.first_sample % options.particles == 0,
                        "moment matching: groups of ", options.particles, " samples do not divide a batch of ", batch,
                        " that begins with number ", random.first_sample);
    const double last = std::min(process.last(), process.time_at(-std::log(options.eta_max)));
    Draws out;
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const auto group = static_cast<std::uint64_t>(b / options.particles);
      const diffusion::Time t = std::min(last, process.schedule().at(static_cast<double>(uniform_at(s, 2 * group))));
      const diffusion::Time end = uniform_between(process.first(), t, s, 2 * group + 1);
      out.t.push_back(t);
      out.middle.push_back(lower(t, end));
      out.end.push_back(end);
    }
    return out;
  }
  /// r of t and s.
  [[nodiscard]] diffusion::Time lower(diffusion::Time t, diffusion::Time end) const {
    const auto eta = [](const diffusion::Level& l) { return l.sigma / l.alpha; };
    const double r = eta(process.level(t)) - std::ldexp(options.eta_max, -options.gap_exponent);
    return r > eta(process.level(end)) ? process.time_at(-std::log(r)) : end;
  }
  /// w at t.
  [[nodiscard]] double weight(diffusion::Time t) const {
    const diffusion::Level l = process.level(t);
    const double a2 = l.alpha * l.alpha, s2 = l.sigma * l.sigma;
    // sigmoid(b - lambda) = sigma^2 / (sigma^2 + alpha^2 e^-b), so that nothing divides by sigma or alpha.
    return l.sigma * l.wronskian() * std::pow(l.alpha, options.alpha_power - 1) /
           ((s2 + a2 * std::exp(-options.weight_offset)) * (a2 + s2));
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher&, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "moments.noise"));
  }
  /// The same for given draws, equal within each group, and noise [B, ...].
  template <class Student, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Batch<T, D, C>& batch, const Draws& d,
                           const Tensor<T, D>& noise) const {
    static_assert((diffusion::detail::require_two_times<Student, T, D, C>(), true));
    const C& condition = batch.condition.conditional;
    const Var<T, D> x(diffusion::add_noise(process, batch.x0, noise, d.t));
    const auto y = diffusion::jump(process, x, diffusion::evaluate_between(process, student, x, d.t, d.end, condition),
                                   d.t, d.end);
    const auto x_r = diffusion::add_noise(process, batch.x0, noise, d.middle);
    const Var<T, D> z(diffusion::jump(
        process, x_r, diffusion::predict_between(process, student, x_r, d.middle, d.end, condition), d.middle, d.end));
    const auto elements = static_cast<double>(batch.x0.shape().numel_from(1));
    std::vector<double> weights, rates;
    for (std::size_t b = 0; b < d.t.size(); ++b) {
      const double part = std::abs(process.jump(d.t[b], d.end[b]).prediction);
      rates.push_back(1 / (std::max(part * options.scale, 1e-8) * elements));
      weights.push_back(weight(d.t[b]));
    }
    const auto w = diffusion::sample_scales<T, D>(weights), c = diffusion::sample_scales<T, D>(rates);
    return {autograd::linear_combination(1, autograd::add(mean_kernel(y, y, w, c), mean_kernel(z, z, w, c)), -2,
                                         mean_kernel(y, z, w, c)),
            {}};
  }

 private:
  /// Mean over all groups and all pairs within them of w k(a_i, b_j).
  template <class T, class D>
  Var<T, D> mean_kernel(const Var<T, D>& a, const Var<T, D>& b, const Numbers<T, D>& w, const Numbers<T, D>& c) const {
    const std::int64_t batch = a.dim(0), width = a.size() / batch, row = options.particles * width;
    require<ShapeError>(batch % options.particles == 0, "moment matching: groups of ", options.particles,
                        " samples do not divide a batch of ", batch);
    const Shape groups{batch / options.particles, row};
    const auto all = autograd::reshape(b, groups);
    Var<T, D> sum;
    for (std::int64_t i = 0; i < options.particles; ++i) {
      // b_j beside a_i for j - i = 0, 1, ...: each group's particles, turned by so many places.
      const auto turned = i == 0 ? all
                                 : autograd::concat_channels(autograd::slice_channels(all, i * width, row),
                                                             autograd::slice_channels(all, 0, i * width));
      const auto gap =
          autograd::sub(autograd::reshape(a, Shape{batch, width}), autograd::reshape(turned, Shape{batch, width}));
      const auto k = autograd::map(Kernel{}, autograd::sum_to_samples(autograd::mul(gap, gap)), c);
      const auto one = autograd::mean(autograd::mul(k, w));
      sum = sum.defined() ? autograd::add(sum, one) : one;
    }
    return autograd::affine(sum, static_cast<Accumulator<T>>(1 / static_cast<double>(options.particles)));
  }
};

}  // namespace hypersd::distill
