// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/optim/multi_tensor.hpp>
#include <hypersd/optim/parameters.hpp>

namespace hypersd::optim {

/// x^2 in double.
struct SquareInDouble {
  template <class T>
  HYPERSD_HD double operator()(T x) const {
    const auto wide = static_cast<double>(widened(x));
    return wide * wide;
  }
};

/// x *= scale.
template <Floating T>
struct ScaleInPlace {
  Accumulator<T> scale;
  HYPERSD_HD void operator()(T& x) const { x = converted<T>(widened(x) * scale); }
};

namespace detail {

template <class T, class D, class F>
std::vector<Segment<F, T>> gradient_segments(const ParameterList<T, D>& parameters, F f) {
  std::vector<Segment<F, T>> segments;
  for (const auto& p : parameters)
    if (p.var.grad().defined()) segments.push_back({{p.var.grad().data()}, p.var.size(), f});
  return segments;
}

}  // namespace detail

/// Euclidean norm of all gradients together, summed in double in a fixed order. Synchronizes. Throws NumericError
/// naming the first parameter whose gradient is not finite.
template <class T, class D>
double grad_norm(const ParameterList<T, D>& parameters) {
  const double norm = std::sqrt(multi_sum<D>(detail::gradient_segments(parameters, SquareInDouble{})));
  if (std::isfinite(norm)) return norm;
  for (const auto& p : parameters) {
    const double part = multi_sum<D>(detail::gradient_segments<T, D>({p}, SquareInDouble{}));
    require<NumericError>(std::isfinite(part), "the gradient of '", p.name, "' is not finite");
  }
  fail<NumericError>("the gradient norm is ", norm);
}

/// Factor that scales a gradient of norm `norm` to `max_norm`, as PyTorch computes it; 1 for a smaller norm or
/// `max_norm` <= 0 (no clipping).
inline double clip_factor(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

/// Scales all gradients so that their common norm is at most `max_norm` > 0, and returns the norm before. Throws
/// OptionError for `max_norm`, and NumericError like `grad_norm`. (`AdamW::step` takes `clip_factor` and saves a pass.)
template <class T, class D>
double clip_grad_norm(const ParameterList<T, D>& parameters, double max_norm) {
  require<OptionError>(max_norm > 0, "clip_grad_norm: max_norm = ", max_norm, ", not above 0");
  const double norm = grad_norm(parameters);
  const double factor = clip_factor(norm, max_norm);
  if (factor >= 1) return norm;
  for (auto p : parameters)  // a gradient whose storage is shared must not change
    if (p.var.grad().defined() && !p.var.grad().unique()) p.var.set_grad(p.var.grad().clone());
  multi_update<D>(detail::gradient_segments(parameters, ScaleInPlace<T>{static_cast<Accumulator<T>>(factor)}));
  return norm;
}

}  // namespace hypersd::optim
