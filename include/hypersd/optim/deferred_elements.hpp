// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/ema.hpp>

/// \file
/// What `DeferredAdamW` does on the device, element by element.

namespace hypersd::optim {

namespace detail {

/// Places in the numbers that the device keeps of the running steps; losses and norms of the steps follow.
enum Board : std::int64_t {
  board_count,
  board_bad,
  board_scale,
  board_open,
  board_part,
  board_rate,  ///< the next step's learning rate, its `AdamWRates::decay` and the average's weight: of flat gradients
  board_decay,
  board_weight,
  board_curve
};

/// Numbers that the device keeps of a parameter with flat gradients: {updates, beta1^updates, beta2^updates}.
inline constexpr std::int64_t count_numbers = 3;

}  // namespace detail

/// Gradients of all parameters in their order, one after the other in memory of the device, where alone it is known
/// which parameters have one. The loss comes in `parts` that add up to it.
template <Real A>
struct FlatGradients {
  A* gradients;      ///< 0 where a parameter has none
  const A* present;  ///< of each parameter: above 0 if it has a gradient
  const A* losses;
  std::int64_t parts;
};

/// Decides one step: is loss and gradient norm finite, by how much is the gradient scaled (see `clip_factor`). The
/// first step that is not finite closes the board for all that follow.
template <Floating T>
struct DecideStep {
  const T* losses;  ///< the loss is their sum
  std::int64_t parts;
  const double* square;  ///< of the gradient's norm
  double max_norm;
  double* board;
  std::int64_t capacity;

  [[nodiscard]] HYPERSD_HD static std::int64_t size() { return 1; }
  HYPERSD_HD void operator()(std::int64_t) const {
    auto value = static_cast<double>(widened(losses[0]));
    for (std::int64_t i = 1; i < parts; ++i) value += static_cast<double>(widened(losses[i]));
    const double norm = math::sqrt(*square);
    const auto step = static_cast<std::int64_t>(board[detail::board_count]);
    board[detail::board_curve + step] = value;
    board[detail::board_curve + capacity + step] = norm;
    const bool finite = value - value == 0 && norm - norm == 0;
    if (!finite && board[detail::board_bad] < 0) {
      board[detail::board_bad] = static_cast<double>(step);
      for (std::int64_t i = 0; i < parts && board[detail::board_part] < 0; ++i)
        if (const auto part = static_cast<double>(widened(losses[i])); part - part != 0)
          board[detail::board_part] = static_cast<double>(i);
    }
    board[detail::board_open] = board[detail::board_bad] < 0 ? 1 : 0;
    const double factor = max_norm / (norm + 1e-6);
    board[detail::board_scale] = max_norm > 0 && factor < 1 ? factor : 1;
    board[detail::board_count] = static_cast<double>(step + 1);
  }
};

/// AdamW's update and the average's after it, of one element.
template <Real A>
struct AdamWLerp {
  AdamWUpdate<A> update;
  Lerp<A> lerp;

  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v) const { update(p, g, m, v); }
  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v, A& average) const {
    update(p, g, m, v);
    lerp(average, p);
  }
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const P& g, A& m, A& v, A& master) const {
    update(p, g, m, v, master);
  }
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const P& g, A& m, A& v, A& master, A& average, P& rounded) const {
    update(p, g, m, v, master);
    lerp(average, p, rounded);
  }
};

/// The same while the board is open, with the step's numbers read from the device.
template <Real A>
struct GatedAdamW {
  const double* board;
  const A *common, *rates;  ///< {decay, weight of the average}; {step_size, root_scale} of the parameter
  AdamWUpdate<A> constants;

  [[nodiscard]] HYPERSD_HD bool closed() const { return board[detail::board_open] == 0; }
  [[nodiscard]] HYPERSD_HD AdamWLerp<A> resolved() const {
    AdamWLerp<A> out{constants, {common[1]}};
    out.update.grad_scale = static_cast<A>(board[detail::board_scale]);
    out.update.decay = common[0];
    out.update.step_size = rates[0];
    out.update.root_scale = rates[1];
    return out;
  }
};

/// The average of a parameter without gradient.
template <Real A>
struct GatedLerp {
  const double* board;
  const A* common;
  [[nodiscard]] HYPERSD_HD bool closed() const { return board[detail::board_open] == 0; }
  [[nodiscard]] HYPERSD_HD Lerp<A> resolved() const { return {common[1]}; }
};

/// Counts the step as an update of the parameters that have a gradient, unless the board is closed, and writes what
/// their update takes (see `AdamW::rates`). The powers are products: the host sets them anew at each question.
template <Real A>
struct CountUpdates {
  const double* board;
  const A* present;
  double* counts;
  A* rates;
  double beta1, beta2;
  std::int64_t parameters;

  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return parameters; }
  HYPERSD_HD void operator()(std::int64_t i) const {
    if (i == 0) {
      rates[0] = static_cast<A>(board[detail::board_decay]);
      rates[1] = static_cast<A>(board[detail::board_weight]);
    }
    if (board[detail::board_open] == 0 || !(present[i] > 0)) return;
    double* count = counts + detail::count_numbers * i;
    count[0] += 1;
    count[1] *= beta1;
    count[2] *= beta2;
    rates[2 + 2 * i] = static_cast<A>(board[detail::board_rate] / (1 - count[1]));
    rates[3 + 2 * i] = static_cast<A>(1 / math::sqrt(1 - count[2]));
  }
};

/// AdamW's update and the average's after it, of one element of a parameter; without a gradient only the average's.
template <Real A>
struct PresentAdamWLerp {
  AdamWLerp<A> step;
  bool present;

  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v) const { step(p, g, m, v); }
  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v, A& average) const {
    if (present) step(p, g, m, v);
    step.lerp(average, p);
  }
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const A& g, A& m, A& v, A& master) const {
    step(master, g, m, v);
    p = P(master);
  }
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const A& g, A& m, A& v, A& master, A& average, P& rounded) const {
    if (present) (*this)(p, g, m, v, master);
    step.lerp(average, p, rounded);
  }
};

/// The same while the board is open.
template <Real A, bool average>
struct GatedFlatAdamW {
  GatedAdamW<A> gate;
  const A* present;

  [[nodiscard]] HYPERSD_HD bool closed() const { return gate.closed() || (!average && !(*present > 0)); }
  [[nodiscard]] HYPERSD_HD PresentAdamWLerp<A> resolved() const { return {gate.resolved(), *present > 0}; }
};

}  // namespace hypersd::optim
