// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

namespace hypersd::distill {

/// One stage of Algorithm 1: k segments.
template <int k>
struct Stage {
  static_assert(k >= 1, "a stage needs at least one segment");
  static constexpr int segments = k;
};

/// The stages in order, from many segments to few. [Hyper-SD Algorithm 1]
template <class... S>
struct Stages {
  static constexpr std::size_t size = sizeof...(S);
  static_assert(size > 0, "a list of stages needs at least one");
  static constexpr bool falling() {
    const int k[] = {S::segments...};
    for (std::size_t i = 1; i < size; ++i)
      if (k[i] > k[i - 1]) return false;
    return true;
  }
  static_assert(falling(), "stages must go from more segments to fewer: 8, 4, 2, 1");

  /// The numbers of segments, in order.
  static std::vector<int> segments() { return {S::segments...}; }

  /// Calls f(Stage<k>{}, i) for every stage in order.
  template <class F>
  static void for_each(F&& f) {
    std::size_t i = 0;
    (f(S{}, i++), ...);
  }
};

/// The paper's: 8, 4, 2, 1.
using HyperSdStages = Stages<Stage<8>, Stage<4>, Stage<2>, Stage<1>>;

}  // namespace hypersd::distill
