// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <hypersd/diffusion/mixture.hpp>
#include <hypersd/diffusion/solver.hpp>
#include <span>
#include <vector>

/// \file
/// Solvers followed by hand in double, and the flow that they approximate, for tests of any process.

namespace follow {

using namespace hypersd::diffusion;
using Point = std::vector<double>;

/// The exact prediction of data from `mixture` at x.
template <DiffusionProcess Process>
Point exact(const Process& process, const Mixture& mixture, const Point& x, Time t) {
  const Level l = process.level(t);
  const Target w = process.target(t);
  Point x0(x.size()), eps(x.size());
  mixture.x0(x, l, x0);
  mixture.eps(x, l, eps);
  for (std::size_t i = 0; i < x.size(); ++i) x0[i] = w.x0 * x0[i] + w.eps * eps[i];
  return x0;
}

/// One evaluation of a solver without noise, whose prediction is f; `memory` is replaced where it remembers.
inline Point advanced(const Evaluation& e, const Point& x, const Point& f, std::array<Point, kMemories>& memory) {
  const auto combined = [&](const StepCoefficients& c) {
    Point out(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
      out[j] = c.x * x[j] + c.prediction * f[j];
      for (std::size_t k = 0; k < kMemories; ++k) out[j] += c.memory[k] * memory[k][j];
    }
    return out;
  };
  const Point next = combined(e.update);
  std::array<Point, kMemories> remembered = memory;
  for (std::size_t k = 0; k < e.remember.size(); ++k) remembered[k] = combined(e.remember[k]);
  memory = remembered;
  return next;
}

/// x at the second to last of `times` by a solver without noise, from x at the first; the last step is not taken.
template <DiffusionProcess Process, class S>
Point steps(const Process& process, const S& solver, const Mixture& mixture, Point x, const Times& times) {
  std::array<Point, kMemories> memory;
  memory.fill(Point(x.size(), 0));
  std::vector<StepTimes> before;
  for (std::size_t i = 0; i + 2 < times.size(); ++i) {
    const StepTimes t{times[i], times[i + 1], false};
    for (const Evaluation& e : evaluations_of(solver, process, t, before))
      x = advanced(e, x, exact(process, mixture, x, e.time), memory);
    before.push_back(t);
  }
  return x;
}

/// The times of `process` at log-SNRs from `from` to `to` in n steps, the first of them cut to a small one and the rest
/// of it, so that what starts at first order keeps its order; then one more time, for the last step.
template <DiffusionProcess Process>
Times even(const Process& process, double from, double to, int n) {
  const double h = (to - from) / n;
  Times out{process.time_at(from), process.time_at(from + 0.25 * h * h)};
  for (int i = 1; i <= n; ++i) out.push_back(process.time_at(from + i * h));
  out.push_back(process.time_at(to + 0.2));
  return out;
}

/// The flow of y = x / alpha, the same for all processes: dy / d lambda = -e^-lambda E[eps | y], by the classical
/// Runge-Kutta method of fourth order.
inline Point flow(const Mixture& mixture, Point y, double from, double to, int n = 800) {
  const double h = (to - from) / n;
  const auto slope = [&](const Point& at, double lambda) {
    Point eps(at.size());
    const double s = std::exp(-lambda);
    mixture.eps(at, Level{1, s}, eps);
    for (double& e : eps) e *= -s;
    return eps;
  };
  const auto moved = [](const Point& a, double by, const Point& k) {
    Point out = a;
    for (std::size_t i = 0; i < a.size(); ++i) out[i] += by * k[i];
    return out;
  };
  for (int i = 0; i < n; ++i) {
    const double l = from + i * h;
    const Point a = slope(y, l), b = slope(moved(y, h / 2, a), l + h / 2), c = slope(moved(y, h / 2, b), l + h / 2),
                d = slope(moved(y, h, c), l + h);
    for (std::size_t j = 0; j < y.size(); ++j) y[j] += h / 6 * (a[j] + 2 * b[j] + 2 * c[j] + d[j]);
  }
  return y;
}

/// Largest error of n steps of a solver from log-SNR `from` to `to`, in y = x / alpha, over points y at the start.
template <DiffusionProcess Process, class S>
double error(const Process& process, const S& solver, const Mixture& mixture, std::span<const Point> starts,
             std::span<const Point> ends, double from, double to, int n) {
  const Times times = even(process, from, to, n);
  const double first = process.alpha(times.front()), last = process.alpha(times[times.size() - 2]);
  double worst = 0;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    Point x = starts[i];
    for (double& v : x) v *= first;
    const Point y = steps(process, solver, mixture, x, times);
    for (std::size_t j = 0; j < y.size(); ++j) worst = std::max(worst, std::abs(y[j] / last - ends[i][j]));
  }
  return worst;
}

}  // namespace follow
