// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Which noise the network of a piecewise rectified flow predicts.
enum class PerFlowNoise {
  data,   ///< that between data and the window's start: eta = sigma_e - lambda sigma_s (`ddim_eps` in the paper's code)
  window  ///< that between the window's ends: eta = -sqrt(lambda^2 - 1) (`diff_eps`)
};

/// Piecewise rectified flow (Yan et al., "PeRFlow", section 3): the T times are cut into K windows, and within one the
/// trajectory is a straight line in time. The noise prediction at a point names the window's end z_e: with
/// tau = (t + 1) / T, window (tau_e, tau_s], lambda = alpha_e / alpha_s and eta as `PerFlowNoise` says,
///   z_e = (lambda (tau_e - tau_s) x + eta (tau_e - tau) epshat) / (lambda (tau - tau_s) + tau_e - tau),
/// and a step moves x the share (tau' - tau) / (tau_e - tau) of the way there.
///
/// The windows end at the times of `trailing(T, K)`; a time on an end belongs to the window below it. The lowest window
/// ends at tau = 0 with the level of time 0. Steps may not cross an end: n steps on the trailing grid do not where K
/// divides n. For a model trained this way; with K = n and any other model it is DDIM.
struct PerFlow {
  struct Options {
    int windows = 4;                          ///< K, in [1, T]
    PerFlowNoise noise = PerFlowNoise::data;  ///< `window` is for noise predictions alone
  };
  static constexpr const char* name = "perflow";
  static constexpr bool stochastic = false;
  Options options{};

  /// The times on which the window of time t starts and ends; -1, tau = 0, ends the lowest. Throws OptionError
  /// for K or t out of range.
  struct Window {
    Time start = 0, end = 0;
  };
  template <DiffusionProcess Process>
  [[nodiscard]] Window window(const Process& process, Time t) const {
    static_assert(Process::discrete, "PeRFlow's windows are those of a discrete table");
    const NoiseTable& table = process.schedule();
    require<OptionError>(options.windows >= 1 && options.windows <= table.size(),
                         "perflow: windows = ", options.windows, " is not in [1, ", table.size(), "]");
    table.check(t, false);
    const Times starts = table.grid(options.windows);
    std::size_t i = 0;
    while (i + 1 < starts.size() && t <= starts[i + 1]) ++i;
    return {starts[i], i + 1 < starts.size() ? starts[i + 1] : table.clean()};
  }

  /// Throws OptionError for a step across the end of a window, for one to clean data, which no window reaches, and for
  /// a window's noise from a prediction of another type; NumericError where that noise says nothing (alpha_s = 0).
  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    const Window w = window(process, t.from);
    process.check(t.to);
    require<OptionError>(t.to != process.clean(), "perflow: the lowest window ends at time 0, not on clean data");
    if (t.from == t.to) return {};
    const Time to =
        t.last && t.to == 0 ? process.clean() : t.to;  // the run's end is tau = 0, that of the lowest window
    require<OptionError>(to >= w.end, "perflow: the step from time ", t.from, " to ", t.to,
                         " crosses the end of a window, time ", w.end);
    const Form end = window_end(process, t.from, w);
    const double share = (t.from - to) / (t.from - w.end);
    return {1 - share + share * end.x, share * end.prediction, 0};
  }

 private:
  template <DiffusionProcess Process>
  [[nodiscard]] Form window_end(const Process& process, Time t, Window w) const {
    const Level s = process.level(w.start), e = process.level(std::max(w.end, 0.0)), at = process.level(t);
    const bool own = options.noise == PerFlowNoise::window;
    if (own) {
      constexpr bool noise = std::same_as<typename Process::Prediction, Epsilon>;
      require<OptionError>(noise, "perflow: only a noise prediction can name a window's noise");
      require<NumericError>(s.alpha > 0 || t != w.start, "perflow: no signal at time ", t, " to tell the noise from");
    } else if (t == w.start) {
      return jump_form(process.prediction(), at, e);
    }
    // Numerator and denominator times alpha_s, which may be 0. tau is counted in steps.
    const double length = w.end - w.start, left = w.end - t;
    const double scale = 1 / (e.alpha * (t - w.start) + s.alpha * left);
    const double eta =
        own ? -e.alpha * process.renoise(std::max(w.end, 0.0), w.start).noise : s.alpha * e.sigma - e.alpha * s.sigma;
    const double noise = scale * eta * left;
    const Form eps = process.eps(t);
    return {scale * e.alpha * length + noise * eps.x, noise * eps.prediction};
  }
};
static_assert(AffineSolver<PerFlow> && DeterministicSolver<PerFlow>);

}  // namespace hypersd::diffusion
