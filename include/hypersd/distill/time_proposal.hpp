// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/math.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/diffusion/process.hpp>
#include <hypersd/distill/draw.hpp>
#include <string>

namespace hypersd::distill {

/// How objectives of continuous time draw their training times. One pair (mean, deviation) means the same noise levels
/// on every process: a log-normal sigma of EDM is a logit-normal time of a rectified flow.
struct TimeProposal {
  enum class Kind {
    log_normal,  ///< ln(sigma / alpha) ~ N(mean, deviation^2), cut to the process's times
    uniform      ///< at a uniform share of the way from clean data to noise, as the schedule counts it
  };
  Kind kind = Kind::log_normal;
  double mean = -1.0, deviation = 1.4;  ///< of CIFAR-10 in "Simplifying ... continuous-time consistency models"

  /// Time number `at` of stream s, in [first, last] of the process.
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] diffusion::Time draw(const Process& process, Stream s, std::uint64_t at) const {
    if (kind == Kind::uniform) return process.schedule().at(static_cast<double>(uniform_at(s, at)));
    const double lambda = -(mean + deviation * static_cast<double>(normal_at(s, at)));
    const diffusion::Level last = process.level(process.last());
    // Beyond the last level `time_at` has no answer.
    if (last.alpha > 0 && lambda <= diffusion::log_snr(last)) return process.last();
    return std::clamp(process.time_at(lambda), process.first(), process.last());
  }
};

/// One iteration's draws of an objective of continuous time: each sample's time, where its jump ends, the teacher's
/// scale.
struct ContinuousDraws {
  diffusion::Times t, end;
  std::vector<double> guidance;
};

/// Pairs of times of the proposal, sorted, for flow maps. A share `same` of the samples has end = t; which ones depends
/// on their place in the whole batch alone. `name` is that of the streams.
template <diffusion::DiffusionProcess Process>
ContinuousDraws draw_pairs(const TimeProposal& proposal, const Process& process, double same, double guidance_min,
                           double guidance_max, std::int64_t batch, const diffusion::Randomness& random,
                           const std::string& name) {
  const Stream times = random.stream(name + ".time"), rest = random.stream(name + ".draw");
  ContinuousDraws out;
  for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
    const auto at = static_cast<std::uint64_t>(b);
    const diffusion::Time one = proposal.draw(process, times, 2 * at), two = proposal.draw(process, times, 2 * at + 1);
    const bool joined = std::floor(static_cast<double>(b + 1) * same) > std::floor(static_cast<double>(b) * same);
    out.t.push_back(std::max(one, two));
    out.end.push_back(joined ? out.t.back() : std::min(one, two));
    out.guidance.push_back(uniform_between(guidance_min, guidance_max, rest, at));
  }
  return out;
}

}  // namespace hypersd::distill
