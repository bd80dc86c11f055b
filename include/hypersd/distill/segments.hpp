// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <hypersd/core/error.hpp>

/// \file
/// Where the segment of a training time begins: t_b of Eq 11, for k segments of T times, or k equal parts of a
/// continuous process's own time.

namespace hypersd::distill {

namespace detail {

inline void check_segment(int t, int k, int train_steps) {
  require<OptionError>(train_steps >= 1 && k >= 1 && k <= train_steps, "segments: k = ", k, " for ", train_steps,
                       " training times");
  require<OptionError>(t >= 0 && t < train_steps, "segments: time ", t, " is not in [0, ", train_steps - 1, "]");
}

}  // namespace detail

/// A rule for t_b: `start(t, k, T)` <= t for t in [0, T-1] of a table; in continuous time `segment(n, k, N)` is the
/// number of the segment, from 0 at clean data, that the share n / N of the way to noise belongs to.
template <class R>
concept SegmentRule = requires(int t) {
  { R::start(t, t, t) } -> std::same_as<int>;
  { R::segment(t, t, t) } -> std::same_as<int>;
};

/// Algorithm 1's floor, not Eq 11 as printed: t_b = floor(t / floor(T/k)) floor(T/k). A time on a boundary begins
/// the upper segment, so t_b = t there and no end point below t' is left: the objective then takes t_end = t'. Where k
/// does not divide T the floor leaves a short last segment.
struct PaperBoundary {
  static constexpr const char* name = "paper";
  static int start(int t, int k, int train_steps) {
    detail::check_segment(t, k, train_steps);
    const int length = train_steps / k;
    return t / length * length;  // [Hyper-SD Algorithm 1]
  }
  static int segment(int n, int k, int points) {
    return static_cast<int>(std::min<std::int64_t>(std::int64_t{n} * k / points, k - 1));
  }
};

/// Eq 11 on the 0-based table: segment ends are the sampler's trailing grid of k steps (and 0), and a time on an end
/// belongs to the segment below it. Each step of k-step sampling then starts and ends where training did. For k that
/// divide T this is max(0, floor(t k / T) T / k - 1). The default.
struct TrailingBoundary {
  static constexpr const char* name = "trailing";
  static int start(int t, int k, int train_steps) {
    detail::check_segment(t, k, train_steps);
    const int length = train_steps / k;
    const int segment = std::min(t / length, k - 1);  // a remainder of T / k joins the last segment
    return std::max(0, segment * length - 1);         // [Hyper-SD Eq. 11], one step down: t_b < t but at 0
  }
  static int segment(int n, int k, int points) {
    return n <= 0 ? 0 : static_cast<int>((std::int64_t{n} * k - 1) / points);  // ceil(n k / N) - 1
  }
};

static_assert(SegmentRule<PaperBoundary> && SegmentRule<TrailingBoundary>);

}  // namespace hypersd::distill
