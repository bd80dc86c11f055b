// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/ops/random.hpp>
#include <string>
#include <utility>
#include <vector>

/// \file
/// How feedback reaches the point at which it trains: the student's own sampler, from pure noise, without a tape.

namespace hypersd::feedback {

/// Where the student is trained: at one position of its sampler's list of times, drawn anew in every iteration.
struct RolloutOptions {
  std::vector<int> steps = {1, 2, 4, 8};  ///< numbers of steps on the trailing grid, one of them is drawn
  diffusion::Times times = {};  ///< a list of times instead of `steps`, such as {800} or `leading(1000, 40, 1)`
  /// First and last position that may be drawn, both included; 0 is the evaluation of pure noise, -1 the list's last
  /// quarter (its last max(1, ceil(N / 4)) positions) and its last.
  int left = -1, right = -1;
  double eta = 0;  ///< of the solver on the way, in [0, 1]: 0 is deterministic
};

/// One iteration's draws: the sampler's times, and the position of the evaluation with gradient.
struct RolloutDraws {
  diffusion::Times times;
  int position = 0;
};

/// First of the last max(1, ceil(n / 4)) positions of n >= 1.
constexpr int last_quarter(int n) { return n - (n + 3) / 4; }

/// The walk from pure noise to the evaluation that is trained. `S` is a solver with one evaluation a step: TCD's
/// (DDIM's for eta = 0), `Ddim` for the ancestral steps of the original ReFL.
template <diffusion::DiffusionProcess Process, class S = diffusion::Tcd>
class Rollout {
  static_assert(diffusion::AffineSolver<S, Process>, "feedback needs a solver with one evaluation a step");

 public:
  /// Throws OptionError for a list of times that is none, positions outside it, eta outside [0, 1], and for a noise
  /// prediction asked at zero SNR.
  Rollout(Process p, RolloutOptions options)
      : process_(std::move(p)), options_(std::move(options)), sampler_(solver_of(options_.eta), process_) {
    if (!options_.times.empty()) {
      lists_.push_back(diffusion::Steps(options_.times).times(process_));
    } else {
      for (const int n : options_.steps) lists_.push_back(process_.grid(n));
    }
    require<OptionError>(!lists_.empty(), "feedback: no numbers of steps and no times");
    for (const auto& times : lists_) {
      const auto [left, right] = bounds(times);
      const int n = static_cast<int>(times.size());
      require<OptionError>(options_.left >= -1 && options_.right >= -1, "feedback: positions [", options_.left, ", ",
                           options_.right, "]; -1 is the default");
      require<OptionError>(0 <= left && left <= right && right < n, "feedback: positions [", left, ", ", right,
                           "] of a list of ", n, " times");
      process_.require_signal(times[0]);
    }
  }

  [[nodiscard]] const Process& process() const { return process_; }
  [[nodiscard]] const RolloutOptions& options() const { return options_; }

  /// The draws of one iteration: a list, then a position of it, both uniform. A function of (seed, step) alone.
  [[nodiscard]] RolloutDraws draw(diffusion::Randomness random) const {
    const Stream s = random.stream("feedback.draw");
    const auto& times = lists_[static_cast<std::size_t>(integer_at(s, 0, static_cast<std::int64_t>(lists_.size())))];
    const auto [left, right] = bounds(times);
    return {times, left + static_cast<int>(integer_at(s, 1, right - left + 1))};
  }
  /// The pure noise of one iteration, standard normal.
  template <class T, class D>
  [[nodiscard]] Tensor<T, D> start(const Shape& shape, diffusion::Randomness random) const {
    return diffusion::normals<T, D>(shape, random, "feedback.z");
  }
  /// What the solver injects on the way, one standard normal tensor a step; none for eta = 0.
  template <class T, class D>
  [[nodiscard]] std::vector<Tensor<T, D>> noise(const Shape& shape, const RolloutDraws& d,
                                                diffusion::Randomness random) const {
    std::vector<Tensor<T, D>> out;
    if (options_.eta == 0) return out;
    for (int i = 0; i < d.position; ++i)
      out.push_back(diffusion::normals<T, D>(shape, random, "feedback.noise " + std::to_string(i)));
    return out;
  }

  /// x at position `d.position`: that many solver steps from z [B, ...], without guidance and without a tape. `noise`
  /// has one tensor a step, or is empty where the steps inject none. Throws OptionError for draws that do not fit.
  template <class Net, class T, class D, class C>
  [[nodiscard]] Tensor<T, D> walk(const Net& net, const RolloutDraws& d, const Tensor<T, D>& z,
                                  const std::vector<Tensor<T, D>>& noise, const C& condition) const {
    require<OptionError>(d.position >= 0 && static_cast<std::size_t>(d.position) < d.times.size(),
                         "feedback: position ", d.position, " of a list of ", d.times.size(), " times");
    diffusion::check_times(process_, d.times);
    if (d.position == 0) return starting(z, d);
    diffusion::SampleOptions options;
    options.stop_after = d.position;
    return sampler_.with_noise(net, z, noise, condition, d.times, options);
  }
  /// The time of the evaluation with gradient, for each sample of x.
  template <class T, class D>
  static diffusion::Times times_of(const Tensor<T, D>& x, const RolloutDraws& d) {
    return diffusion::Times(static_cast<std::size_t>(x.dim(0)), d.times[static_cast<std::size_t>(d.position)]);
  }

 private:
  /// Noise at the scale from which sampling starts.
  template <class T, class D>
  [[nodiscard]] Tensor<T, D> starting(const Tensor<T, D>& z, const RolloutDraws& d) const {
    using A = Accumulator<T>;
    const double scale = process_.starting_scale(d.times.front());
    return scale == 1 ? z : ops::map(ops::Affine<A>{static_cast<A>(scale), A(0)}, z);
  }
  static typename S::Options solver_of(double eta) {
    require<OptionError>(eta >= 0 && eta <= 1, "feedback: eta = ", eta, " is not in [0, 1]");
    typename S::Options solver{};
    if constexpr (requires { solver.eta; }) {
      solver.eta = eta;
    } else {
      require<OptionError>(eta == 0, "feedback: ", S::name, " has no eta");
    }
    return solver;
  }
  [[nodiscard]] std::pair<int, int> bounds(const diffusion::Times& times) const {
    const int n = static_cast<int>(times.size());
    return {options_.left < 0 ? last_quarter(n) : options_.left, options_.right < 0 ? n - 1 : options_.right};
  }

  Process process_;
  RolloutOptions options_;
  diffusion::Sampler<S, Process> sampler_;
  std::vector<diffusion::Times> lists_;
};

}  // namespace hypersd::feedback
