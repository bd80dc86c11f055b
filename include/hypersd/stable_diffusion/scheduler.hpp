// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/diffusion/sample_run.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/pndm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/diffusion/solvers/unipc.hpp>
#include <hypersd/diffusion/timesteps.hpp>
#include <hypersd/stable_diffusion/scheduler_config.hpp>

/// \file
/// What a scheduler of diffusers does in a run, as a plan for the solvers of this library.

namespace hypersd::stable_diffusion {

/// A table of which some times have levels and network times of their own: diffusers interpolates sigma / alpha, and
/// rounds what some networks are given.
class PinnedTable : public diffusion::NoiseTable {
 public:
  /// The level and the network time of one time.
  struct Pin {
    diffusion::Time time = 0;
    diffusion::Level level{};
    double network_time = 0;
    friend bool operator==(const Pin& a, const Pin& b) {
      return a.time == b.time && a.level.alpha == b.level.alpha && a.level.sigma == b.level.sigma &&
             a.network_time == b.network_time;
    }
  };
  static constexpr const char* name = "pinned table";

  explicit PinnedTable(diffusion::NoiseTable table, std::vector<Pin> pins = {})
      : NoiseTable(std::move(table)), pins_(std::move(pins)) {}
  [[nodiscard]] diffusion::Level level(diffusion::Time t) const {
    const Pin* pin = find(t);
    return pin != nullptr ? pin->level : NoiseTable::level(t);
  }
  [[nodiscard]] double network_time(diffusion::Time t) const {
    const Pin* pin = find(t);
    return pin != nullptr ? pin->network_time : t;
  }
  friend bool operator==(const PinnedTable& a, const PinnedTable& b) {
    return static_cast<const NoiseTable&>(a) == static_cast<const NoiseTable&>(b) && a.pins_ == b.pins_;
  }

 private:
  [[nodiscard]] const Pin* find(diffusion::Time t) const {
    for (const Pin& pin : pins_)
      if (pin.time == t) return &pin;
    return nullptr;
  }
  std::vector<Pin> pins_;
};

/// The process of a run, known when its checkpoint has been read.
using RunProcess = diffusion::Process<PinnedTable, diffusion::AnyPrediction>;

/// What a run may choose.
struct RunOptions {
  int steps = 50;                ///< from pure noise; image-to-image takes the last share of them
  diffusion::Times timesteps{};  ///< descending times in place of `steps`
  double strength = 1;           ///< image-to-image: share of the steps that are taken, in (0, 1]
  std::optional<double> eta{};   ///< noise of TCD (0.3 if not given) and DDIM (0), in [0, 1]
};

/// A planned run. Latents x here have alpha^2 + sigma^2 = 1; those of diffusers' Euler and Heun are x / alpha.
struct RunPlan {
  RunProcess process;
  std::vector<diffusion::PlannedStep> steps;
  double start_scale = 1;            ///< x at the beginning in units of standard normal noise
  std::vector<double> peer_factors;  ///< after each step: diffusers' latents in units of x
  double clip_x0 = 0;                ///< limit of clean data, 0: none
  bool clip_keeps_eps = false;
  Notes notes;

  /// What the network is told in each of its calls.
  [[nodiscard]] diffusion::Times network_times() const {
    diffusion::Times out;
    for (const auto& step : steps)
      for (const auto& e : step.evaluations) out.push_back(process.network_time(e.time));
    return out;
  }
  /// Level at which image-to-image begins: x = alpha image + sigma noise.
  [[nodiscard]] diffusion::Level first_level() const { return process.level(steps.front().times.from); }
};

namespace detail {

/// Times of a run with the levels that the scheduler gives them.
struct RunTimes {
  std::vector<diffusion::StepTimes> steps;
  std::vector<PinnedTable::Pin> pins;
};

/// The grid of a scheduler in training times; solvers of the DPM family leave out the last of n + 1 (`points` = n + 1).
inline diffusion::Times run_grid(const SchedulerConfig& c, int n, int points, bool rounded) {
  const int size = c.table.size();
  diffusion::detail::check_steps(size, n);
  const int stride = size / points;
  diffusion::Times out;
  for (int i = points - 1; i >= points - n; --i) {
    if (c.spacing == Spacing::leading) out.push_back(i * stride + c.steps_offset);
    if (c.spacing == Spacing::trailing)
      out.push_back(diffusion::detail::round_half_even(std::int64_t{size} * (i - points + n + 1), n) - 1);
    if (c.spacing == Spacing::linspace && points == 1) out.push_back(0);
    if (c.spacing == Spacing::linspace && points > 1)
      out.push_back(rounded ? diffusion::detail::round_half_even(std::int64_t{size - 1} * i, points - 1)
                            : static_cast<double>(size - 1) * i / (points - 1));
  }
  require<OptionError>(out.front() < size, "scheduler: ", n,
                       " steps of a leading grid with steps_offset = ", c.steps_offset, " begin at time ", out.front(),
                       ", beyond ", size - 1);
  return out;
}

/// sigma / alpha of the table, linear between its times.
inline double ratio_at(const diffusion::NoiseTable& table, double t) {
  const auto entry = [&](double i) {
    const diffusion::Level l = table.level(i);
    return l.sigma / l.alpha;
  };
  const double below = std::floor(t), share = t - below;
  return share == 0 ? entry(t) : (1 - share) * entry(below) + share * entry(below + 1);
}

/// Euler, Heun and the DPM family count in sigma / alpha: the times `all`, or Karras' levels between two of them.
inline RunTimes sigma_times(const SchedulerConfig& c, const diffusion::Times& all, bool dpm) {
  const double size = c.table.size();
  for (std::size_t i = 1; i < all.size(); ++i)
    require<OptionError>(all[i] < all[i - 1], "scheduler: ", all.size(), " steps are too many for a table of ", size);
  std::vector<PinnedTable::Pin> pins;
  const auto pin = [&](double t, double ratio, double network_time) {
    const double alpha = 1 / std::sqrt(1 + ratio * ratio);
    pins.push_back({t, {alpha, ratio * alpha, -ratio * alpha, alpha}, network_time});
  };
  if (c.karras) {
    const double high = dpm ? ratio_at(c.table, size - 1) : ratio_at(c.table, all.front());
    const double low = dpm ? ratio_at(c.table, 0) : ratio_at(c.table, all.back());
    const auto n = static_cast<double>(all.size());
    constexpr double rho = 7;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double share = all.size() == 1 ? 0 : static_cast<double>(i) / (n - 1);
      const double root = std::pow(high, 1 / rho) + share * (std::pow(low, 1 / rho) - std::pow(high, 1 / rho));
      const double ratio = std::pow(root, rho);
      const double t =
          std::clamp(c.table.time_at(-std::log(std::min(ratio, ratio_at(c.table, size - 1)))), 0.0, size - 1);
      pin(t, ratio, dpm ? std::nearbyint(t) : t);
    }
  } else {
    for (const double t : all) pin(t, ratio_at(c.table, t), t);
  }
  // The first level as the end has a time of its own: a grid may reach that level before.
  constexpr double end = -0.5;
  if (c.final_sigma_min) pin(end, ratio_at(c.table, 0), 0);
  const std::size_t n = all.size();
  RunTimes out{{}, pins};
  for (std::size_t i = 0; i < n; ++i) {
    const double to = i + 1 < n ? pins[i + 1].time : c.final_sigma_min ? end : c.table.clean();
    out.steps.push_back({pins[i].time, to, i + 1 == n});
  }
  return out;
}

/// DDIM and PNDM step down by floor(T / n) whatever the spacing; with `listed` times, from one to the next.
inline RunTimes ratio_times(const SchedulerConfig& c, const diffusion::Times& all, bool listed) {
  const int stride = c.table.size() / static_cast<int>(all.size());
  const double end = c.set_alpha_to_one ? c.table.clean() : c.table.first();
  RunTimes out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool last = i + 1 == all.size();
    double to = all[i] < stride ? end : all[i] - stride;
    if (listed) to = last ? end : all[i + 1];
    out.steps.push_back({all[i], to, last});
  }
  return out;
}

template <class S>
std::vector<diffusion::PlannedStep> plan_steps(const S& solver, const RunProcess& process,
                                               const std::vector<diffusion::StepTimes>& times) {
  std::vector<diffusion::PlannedStep> out;
  std::vector<diffusion::StepTimes> before;
  for (const diffusion::StepTimes& t : times) {
    out.push_back({t, diffusion::evaluations_of(solver, process, t, before)});
    before.push_back(t);
  }
  return out;
}

inline std::vector<diffusion::PlannedStep> plan_steps(const SchedulerConfig& c, const RunProcess& process,
                                                      std::vector<diffusion::StepTimes> times, std::size_t all,
                                                      std::optional<double> eta) {
  using Kind = SchedulerKind;
  switch (c.kind) {
    case Kind::tcd: return plan_steps(diffusion::Tcd{{eta.value_or(0.3)}}, process, times);
    case Kind::lcm: return plan_steps(diffusion::Lcm{{c.timestep_scaling, 0.5}}, process, times);
    case Kind::ddim: return plan_steps(diffusion::Ddim{{eta.value_or(0)}}, process, times);
    case Kind::euler: return plan_steps(diffusion::Euler{}, process, times);
    case Kind::euler_ancestral: return plan_steps(diffusion::EulerAncestral{}, process, times);
    case Kind::heun: return plan_steps(diffusion::Heun{}, process, times);
    case Kind::unipc: return plan_steps(diffusion::UniPc{}, process, times);
    case Kind::pndm: return plan_steps(diffusion::Pndm{}, process, times);
    case Kind::dpmpp_2m: break;
  }
  // Of first order on the last step by rule, which for a last level above 0 has exceptions.
  times.back().last = !c.final_sigma_min || c.euler_at_final || (c.lower_order_final && all < 15);
  return plan_steps(diffusion::DpmPp2M{}, process, times);
}

}  // namespace detail

/// The plan of a run of scheduler `c`. Throws OptionError for steps, times or options out of range, and for a choice
/// that the scheduler does not have.
inline RunPlan plan_run(const SchedulerConfig& c, const RunOptions& o) {
  using Kind = SchedulerKind;
  const bool few = c.kind == Kind::tcd || c.kind == Kind::lcm, ratio = c.kind == Kind::ddim || c.kind == Kind::pndm;
  const bool dpm = c.kind == Kind::dpmpp_2m || c.kind == Kind::unipc, listed = !o.timesteps.empty();
  const bool exploding = !few && !ratio && !dpm;
  require<OptionError>(o.strength > 0 && o.strength <= 1, "scheduler: strength = ", o.strength, " is not in (0, 1]");
  require<OptionError>(!o.eta || c.kind == Kind::tcd || c.kind == Kind::ddim, "scheduler: ", scheduler_name(c.kind),
                       " has no eta; tcd and ddim have");
  diffusion::Times all;
  if (listed) {
    require<OptionError>(!c.karras, "scheduler: times cannot be given with use_karras_sigmas");
    require<OptionError>(c.kind != Kind::pndm, "scheduler: times cannot be given to pndm");
    all = o.timesteps;
    diffusion::check_times(diffusion::Process<diffusion::NoiseTable, diffusion::AnyPrediction>(c.table), all);
    for (const double t : all)
      require<OptionError>(exploding || t == std::floor(t), "scheduler: time ", t, " is not whole, which ",
                           scheduler_name(c.kind), " needs");
  } else if (few) {
    all = diffusion::origin_grid(c.table.size(), o.steps, c.original_inference_steps);
  } else {
    all = detail::run_grid(c, o.steps, dpm && c.spacing != Spacing::trailing ? o.steps + 1 : o.steps, dpm || ratio);
  }

  detail::RunTimes times;
  if (ratio) times = detail::ratio_times(c, all, listed);
  if (!ratio && !few) times = detail::sigma_times(c, all, dpm);
  if (few)
    for (std::size_t i = 0; i < all.size(); ++i)
      times.steps.push_back({all[i], i + 1 < all.size() ? all[i + 1] : c.table.first(), i + 1 == all.size()});

  RunPlan plan{RunProcess(PinnedTable(c.table, times.pins), c.prediction), {}, 1, {}, 0, false, {}};
  // floor(n strength) steps in float64, as diffusers counts, but at least one.
  const auto n = static_cast<double>(all.size());
  const auto kept = static_cast<std::ptrdiff_t>(std::max(1.0, std::min(n, std::floor(n * o.strength))));
  if (n * o.strength < 1)
    plan.notes.push_back("strength " + io::number(o.strength) + " of " + io::number(n) +
                         " steps is less than one: one step is taken; more steps, or a strength of at least " +
                         io::number(1 / n) + ", make the start as noisy as asked for");
  times.steps.erase(times.steps.begin(), times.steps.end() - kept);
  plan.steps = detail::plan_steps(c, plan.process, times.steps, all.size(), o.eta);

  if (exploding) {
    // diffusers begins Euler and Heun with noise times the largest sigma / alpha, or with unit variance.
    const diffusion::Level first = times.pins.front().level;
    plan.start_scale = c.spacing == Spacing::leading ? 1 : first.sigma;
  }
  for (const auto& step : plan.steps)
    plan.peer_factors.push_back(exploding ? 1 / plan.process.level(step.times.to).alpha : 1);
  if (c.clip_sample) plan.clip_x0 = c.clip_sample_range;
  plan.clip_keeps_eps = c.kind != Kind::heun;
  return plan;
}

}  // namespace hypersd::stable_diffusion
