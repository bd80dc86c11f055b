// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <vector>

/// \file
/// The vocabulary of diffusion processes: x_t = alpha_t x_0 + sigma_t eps with eps ~ N(0, I).

namespace hypersd::diffusion {

/// A time of a process, in its own unit: the index of a discrete table (its integers are the training times), t in
/// [0, 1] of a rectified flow, sigma of a variance-exploding process, an angle of TrigFlow. Larger is noisier.
using Time = double;

/// One time for each sample of a batch, or for each step of a sampler.
using Times = std::vector<Time>;

/// Signal and noise of one time, with their derivatives by time where a schedule gives them.
struct Level {
  double alpha = 1, sigma = 0;
  double alpha_rate = 0, sigma_rate = 0;  ///< d alpha / dt, d sigma / dt

  /// alpha sigma' - alpha' sigma > 0: the velocity's sensitivity is W / alpha to noise and -W / sigma to data.
  [[nodiscard]] constexpr double wronskian() const { return alpha * sigma_rate - alpha_rate * sigma; }
};

/// Half the log signal-to-noise ratio, ln(alpha / sigma): +infinity at clean data, -infinity at pure noise.
inline double log_snr(const Level& l) { return std::log(l.alpha / l.sigma); }

/// Where a trajectory ends: `first_entry` is the lowest time that is trained (time 0 of a discrete table, where sigma
/// is small but not 0: Stable Diffusion's convention), `clean` is clean data. A model is distilled and sampled with the
/// same choice.
enum class EndPoint { first_entry, clean };

/// x * x_t + prediction * f(x_t, t).
struct Form {
  double x = 0, prediction = 0;
};
/// x0 * x_0 + eps * noise.
struct Target {
  double x0 = 0, eps = 0;
};

}  // namespace hypersd::diffusion
