// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/math.hpp>
#include <hypersd/diffusion/process.hpp>

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

}  // namespace hypersd::distill
