// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/cpu/scan.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/scan.cuh>
#endif

/// \file
/// Prefix sums along the last axis. Integers are exact; floating-point sums are the same on every run of a device, but
/// their order differs between devices.

namespace hypersd::ops {

/// Element types with prefix sums. (Sums of bytes overflow: cast masks to `std::int32_t` first.)
template <class T>
concept Summable = Scalar<T> && !std::same_as<T, std::uint8_t>;

namespace detail {

template <Prefix prefix, class T, class D>
Tensor<T, D> prefix_sum(const char* op, const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() > 0, op, " of a scalar");
  if constexpr (Narrow<T>) {
    return cast<T>(prefix_sum<prefix>(op, cast<float>(x)));
  } else {
    Tensor<T, D> out(x.shape());
    if (x.size() > 0) backend::scan_rows<prefix>(D{}, x.size() / x.dim(-1), x.dim(-1), x.data(), out.data());
    return out;
  }
}

}  // namespace detail

/// y[..., i] = x[..., 0] + ... + x[..., i] for x [..., N]. 16-bit types are summed in float and rounded once. Does not
/// synchronize. Throws ShapeError for a scalar.
template <Summable T, class D>
Tensor<T, D> inclusive_sum(const Tensor<T, D>& x) {
  return detail::prefix_sum<Prefix::inclusive>("inclusive_sum", x);
}

/// y[..., i] = x[..., 0] + ... + x[..., i - 1], so that y[..., 0] = 0; otherwise as `inclusive_sum`.
template <Summable T, class D>
Tensor<T, D> exclusive_sum(const Tensor<T, D>& x) {
  return detail::prefix_sum<Prefix::exclusive>("exclusive_sum", x);
}

}  // namespace hypersd::ops
