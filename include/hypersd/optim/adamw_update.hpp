// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/multi_tensor.hpp>
#include <type_traits>

/// \file
/// AdamW's update of an element, and what the device computes of a step that the host only enqueues (EnqueuedSteps).

namespace hypersd::optim {

/// One element's AdamW update, in PyTorch's order of operations.
template <Real A>
struct AdamWUpdate {
  A grad_scale;  ///< clipping factor
  A decay;       ///< 1 - lr weight_decay
  A beta1c;      ///< 1 - beta1
  A beta2, beta2c;
  A step_size;   ///< lr / (1 - beta1^t)
  A root_scale;  ///< 1 / sqrt(1 - beta2^t)
  A eps;
  HYPERSD_HD void operator()(A& p, const A& gradient, A& m, A& v) const {
    const A g = gradient * grad_scale;
    m = m + beta1c * (g - m);
    v = v * beta2 + beta2c * g * g;
    p = p * decay - step_size * (m / (math::sqrt(v) * root_scale + eps));
  }
  /// A 16-bit parameter and its master: the master is updated, the parameter is its rounded value.
  template <Narrow P, class G>
  HYPERSD_HD void operator()(P& p, const G& gradient, A& m, A& v, A& master) const {
    (*this)(master, static_cast<A>(gradient), m, v);
    p = P(master);
  }
};

/// AdamW's update of an element, if its parameter has a gradient, and then that of its average.
template <Real A>
struct AdamWAndAverage {
  AdamWUpdate<A> update;
  Lerp<A> lerp;
  bool present;  ///< false: the average alone

  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v) const { update(p, g, m, v); }
  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v, A& average) const {
    if (present) update(p, g, m, v);
    lerp(average, p);
  }
  template <Narrow P, class G>
  HYPERSD_HD void operator()(P& p, const G& g, A& m, A& v, A& master) const {
    update(p, g, m, v, master);
  }
  template <Narrow P, class G>
  HYPERSD_HD void operator()(P& p, const G& g, A& m, A& v, A& master, A& average, P& rounded) const {
    if (present) update(p, g, m, v, master);
    lerp(average, p, rounded);
  }
};

/// The arrays of a parameter of type T with gradient type G that an update goes through: parameter, gradient, moments,
/// the master of a 16-bit parameter, and, if `average`, its average with the rounded value of a 16-bit one.
template <class F, Floating T, class G, bool average, class A = Accumulator<T>>
using AdamWSegment =
    std::conditional_t<Narrow<T>,
                       std::conditional_t<average, Segment<F, T, G, A, A, A, A, T>, Segment<F, T, G, A, A, A>>,
                       std::conditional_t<average, Segment<F, T, G, A, A, A>, Segment<F, T, G, A, A>>>;

/// Gradients of all parameters in their order, one after the other in device memory, if only the device knows which
/// parameters have one. The loss is a sum of `parts`.
template <Real A>
struct FlatGradients {
  A* gradients;      ///< 0 for a parameter without one
  const A* present;  ///< of each parameter: above 0 if it has a gradient
  const A* losses;
  std::int64_t parts;
};

namespace detail {

/// Offsets in the status of enqueued steps, an array of double on the device. Losses and norms of the steps follow.
enum Status : std::int64_t {
  status_count,   ///< steps so far
  status_bad,     ///< the first step that was not finite, or -1
  status_scale,   ///< clipping factor of the present step
  status_update,  ///< flag: 1 if parameters are updated, 0 from the first step on that was not finite
  status_part,    ///< which of the losses of step `status_bad` was not finite, or -1
  status_rate,    ///< with flat gradients: the next step's learning rate, its `AdamWRates::decay`, the average's weight
  status_decay,
  status_weight,
  status_curve
};

/// Numbers of each parameter with flat gradients: {updates, beta1^updates, beta2^updates}.
inline constexpr std::int64_t count_numbers = 3;

}  // namespace detail

/// Decides one step on the device: whether loss and gradient norm are finite, and the clipping factor (`clip_factor`).
/// From the first step on that is not finite, no step updates anything.
template <Floating T>
struct DecideStep {
  const T* losses;  ///< the loss is their sum
  std::int64_t parts;
  const double* square;  ///< of the gradient norm
  double max_norm;
  double* status;
  std::int64_t capacity;

  [[nodiscard]] HYPERSD_HD static std::int64_t size() { return 1; }
  HYPERSD_HD void operator()(std::int64_t) const {
    auto value = static_cast<double>(widened(losses[0]));
    for (std::int64_t i = 1; i < parts; ++i) value += static_cast<double>(widened(losses[i]));
    const double norm = math::sqrt(*square);
    const auto step = static_cast<std::int64_t>(status[detail::status_count]);
    status[detail::status_curve + step] = value;
    status[detail::status_curve + capacity + step] = norm;
    const bool finite = value - value == 0 && norm - norm == 0;
    if (!finite && status[detail::status_bad] < 0) {
      status[detail::status_bad] = static_cast<double>(step);
      for (std::int64_t i = 0; i < parts && status[detail::status_part] < 0; ++i)
        if (const auto part = static_cast<double>(widened(losses[i])); part - part != 0)
          status[detail::status_part] = static_cast<double>(i);
    }
    status[detail::status_update] = status[detail::status_bad] < 0 ? 1 : 0;
    const double factor = max_norm / (norm + 1e-6);
    status[detail::status_scale] = max_norm > 0 && factor < 1 ? factor : 1;
    status[detail::status_count] = static_cast<double>(step + 1);
  }
};

/// With flat gradients: counts the step as an update of the parameters that have a gradient, if it updates, and writes
/// their `AdamWRates`. Powers are products; `EnqueuedSteps::synchronize` replaces them by exact ones.
template <Real A>
struct CountUpdates {
  const double* status;
  const A* present;
  double* counts;
  A* rates;
  double beta1, beta2;
  std::int64_t parameters;

  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return parameters; }
  HYPERSD_HD void operator()(std::int64_t i) const {
    if (i == 0) {
      rates[0] = static_cast<A>(status[detail::status_decay]);
      rates[1] = static_cast<A>(status[detail::status_weight]);
    }
    if (status[detail::status_update] == 0 || !(present[i] > 0)) return;
    double* count = counts + detail::count_numbers * i;
    count[0] += 1;
    count[1] *= beta1;
    count[2] *= beta2;
    rates[2 + 2 * i] = static_cast<A>(status[detail::status_rate] / (1 - count[1]));
    rates[3 + 2 * i] = static_cast<A>(1 / math::sqrt(1 - count[2]));
  }
};

/// An enqueued update: reads the step's numbers from the device, and is skipped after a step that was not finite.
template <Real A, bool average>
struct EnqueuedUpdate {
  const double* status;
  const A *common, *rates;  ///< {decay, weight of the average}; {step_size, root_scale} of the parameter
  AdamWUpdate<A> constants;
  bool has_gradient;   ///< as far as the host knows
  const A* present{};  ///< with flat gradients: above 0 if the parameter has one

  [[nodiscard]] HYPERSD_HD bool updates() const { return has_gradient && (!present || *present > 0); }
  [[nodiscard]] HYPERSD_HD bool skipped() const {
    return status[detail::status_update] == 0 || (!average && !updates());
  }
  [[nodiscard]] HYPERSD_HD AdamWAndAverage<A> resolved() const {
    AdamWAndAverage<A> out{constants, {common[1]}, updates()};
    out.update.grad_scale = static_cast<A>(status[detail::status_scale]);
    out.update.decay = common[0];
    out.update.step_size = rates[0];
    out.update.root_scale = rates[1];
    return out;
  }
};

}  // namespace hypersd::optim
