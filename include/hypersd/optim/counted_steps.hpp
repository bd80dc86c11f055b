// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <string>
#include <vector>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/kernels.cuh>
#endif

namespace hypersd::optim {

namespace detail {

/// The clipping factor of a step (`clip_factor`) from the square of its gradient norm.
struct ClipStep {
  const double* square;
  double max_norm;
  double* status;

  [[nodiscard]] HYPERSD_HD static std::int64_t size() { return 1; }
  HYPERSD_HD void operator()(std::int64_t) const {
    const double factor = max_norm / (math::sqrt(*square) + 1e-6);
    status[status_scale] = factor < 1 ? factor : 1;
  }
};

/// Counts an update of one parameter and writes its `AdamWRates`.
struct CountStep {
  double lr, beta1, beta2;

  [[nodiscard]] HYPERSD_HD static double power(double base, std::int64_t n) {
    double out = 1;
    for (; n > 0; n >>= 1, base *= base)
      if (n & 1) out *= base;
    return out;
  }
  template <Real A>
  HYPERSD_HD void operator()(std::int64_t& steps, A& step_size, A& root_scale) const {
    ++steps;
    step_size = static_cast<A>(lr / (1 - power(beta1, steps)));
    root_scale = static_cast<A>(1 / math::sqrt(1 - power(beta2, steps)));
  }
};

}  // namespace detail

/// Updates of an `AdamW` at one learning rate that the host only enqueues: the device computes the gradient norm and
/// the clipping factor, and counts the updates. `enqueue` is capturable in a CUDA graph (`Graph`), which may be
/// launched any number of times. The numbers are those of `grad_norm`, `clip_factor` and `AdamW::step` to rounding. A
/// gradient that is not finite is not looked for: it makes the parameters not finite, and what is computed from them.
template <Floating T, ops::launch::KernelDevice D>
class CountedSteps {
  using A = Accumulator<T>;

 public:
  /// Works on the moments of `adamw`, which must outlive it; its step counts are not used. `max_norm` = 0 does not
  /// clip.
  CountedSteps(AdamW<T, D>& adamw, double lr, double max_norm)
      : adamw_(adamw),
        lr_(lr),
        max_norm_(max_norm),
        steps_(Tensor<std::int64_t, D>::zeros(Shape{parameters()})),
        rates_(Tensor<A, D>::zeros(Shape{2 + 2 * parameters()})),
        square_(Shape{1}),
        status_(Shape{detail::status_curve}) {
    require<OptionError>(std::isfinite(lr) && lr >= 0, "AdamW: learning rate ", lr);
    const double status[detail::status_curve] = {0, -1, 1, 1, -1};
    Memory<D>::copy_from_host(status_.data(), status, sizeof(status));
    const auto decay = static_cast<A>(adamw.rates(lr, 1).decay);
    Memory<D>::copy_from_host(rates_.data(), &decay, sizeof(decay));
  }

  /// Enqueues an update by the present gradients. A parameter without one keeps value, moments and count.
  void enqueue() {
    const AdamWOptions& o = adamw_.options();
    std::vector<Segment<SquareInDouble, T>> gradients;
    std::vector<Segment<detail::CountStep, std::int64_t, A, A>> counts;
    std::vector<AdamWSegment<EnqueuedUpdate<A, false>, T, T, false>> updates;
    for (std::int64_t i = 0; i < parameters(); ++i) {
      const auto& slot = adamw_.slots()[static_cast<std::size_t>(i)];
      const auto& gradient = slot.parameter.var.grad();
      if (!gradient.defined() || gradient.size() == 0) continue;
      A* const rates = rates_.data() + 2 + 2 * i;
      gradients.push_back({{gradient.data()}, gradient.size(), {}});
      counts.push_back({{steps_.data() + i, rates, rates + 1}, 1, {lr_, o.beta1, o.beta2}});
      updates.push_back(slot.segment(gradient.data(), EnqueuedUpdate<A, false>{status_.data(), rates_.data(), rates,
                                                                               adamw_.constants(), true, nullptr}));
    }
    if (max_norm_ > 0) {
      using ops::launch::run_elements;
      multi_sum_into(square_, gradients);
      run_elements(D{}, "adamw", detail::ClipStep{square_.data(), max_norm_, status_.data()});
    }
    multi_update<D>(counts);
    multi_update<D>(updates);
  }

  /// As `AdamW::visit_state`, with the same names and types, whose step counts are on the device.
  template <class F>
  void visit_state(F&& f, const std::string& prefix = "") const {
    std::int64_t i = 0;
    adamw_.visit_state(
        [&](const std::string& name, const auto& tensor) {
          if constexpr (std::same_as<std::remove_cvref_t<decltype(tensor)>, Tensor<std::int64_t, Cpu>>) {
            f(name, steps_.slice(i, i + 1));
            ++i;
          } else {
            f(name, tensor);
          }
        },
        prefix);
  }

 private:
  [[nodiscard]] std::int64_t parameters() const { return static_cast<std::int64_t>(adamw_.slots().size()); }

  AdamW<T, D>& adamw_;
  double lr_, max_norm_;
  Tensor<std::int64_t, D> steps_;
  Tensor<A, D> rates_;  ///< {decay, 0}, then {step_size, root_scale} of each parameter
  Tensor<double, D> square_, status_;
};

}  // namespace hypersd::optim
