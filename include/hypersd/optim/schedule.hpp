// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>

/// \file
/// Learning rates as functions of the step (0 for the first update). Any callable of that form is a schedule; the
/// structs here are pure, so a resumed run continues on the same curve.

namespace hypersd::optim {

/// Learning rate of update `step`.
using Schedule = std::function<double(std::int64_t step)>;

/// The same rate throughout.
struct Constant {
  double lr = 1e-3;
  double operator()(std::int64_t) const { return lr; }
};

/// Half a cosine from `lr` at step 0 to `last` at step `steps`, and `last` from there on.
struct Cosine {
  double lr = 1e-3;
  std::int64_t steps = 1;
  double last = 0;
  double operator()(std::int64_t step) const {
    const auto length = static_cast<double>(std::max<std::int64_t>(1, steps));
    const double x = std::clamp(static_cast<double>(step) / length, 0.0, 1.0);
    return last + 0.5 * (lr - last) * (1 + std::cos(std::numbers::pi * x));
  }
};

/// `lr`, then a straight line to `last` over the final `tail` (a share in [0, 1]) of `steps`.
struct FlatThenLinear {
  double lr = 1e-3;
  std::int64_t steps = 1;
  double tail = 0.3;
  double last = 0;
  double operator()(std::int64_t step) const {
    const double left = static_cast<double>(std::max<std::int64_t>(0, steps - step));
    const double length = tail * static_cast<double>(steps);
    return length > left ? last + (lr - last) * left / length : lr;
  }
};

/// Linear warm-up over the first `steps` updates, then another schedule from its beginning (a cosine that ends at
/// update n of the whole has n - `steps` steps). The warm-up is (step + 1) / `steps` times the inner schedule's first
/// rate, or step / `steps` with `from_zero` (as in diffusers; the first update then changes nothing).
template <class Inner>
struct WarmUp {
  Inner inner;
  std::int64_t steps = 0;
  bool from_zero = false;
  double operator()(std::int64_t step) const {
    if (step >= steps) return inner(step - steps);
    return inner(0) * static_cast<double>(step + (from_zero ? 0 : 1)) / static_cast<double>(steps);
  }
};
template <class Inner>
WarmUp(Inner, std::int64_t, bool = false) -> WarmUp<Inner>;

}  // namespace hypersd::optim
