// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/map.hpp>
#include <hypersd/ops/operand.hpp>
#include <type_traits>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/map.cuh>
#endif

namespace hypersd::ops {

/// Writes f(operands...) element by element to `out`, in one pass. `F` is a trivially copyable functor whose
/// `operator()` is HYPERSD_HD; an operand is a tensor of `out`'s shape, `per_sample([B])`, `per_channel([C] or [B, C])`
/// or `everywhere([1])`. `out` may be one of the full operands. 16-bit elements are converted to float for `f`, and
/// results are rounded once. Throws ShapeError.
template <class R, class D, class F, class... X>
void map_into(const Tensor<R, D>& out, const F& f, const X&... operands) {
  const detail::Layout layout = detail::layout_of<X...>(out.shape());
  if (out.size() == 0) return;
  backend::map(D{}, out.data(), layout, f, detail::bind(operands, out.shape(), layout)...);
}

/// f(first, rest...) as a new tensor of `first`'s shape; `first` must be a full operand. The element type is the result
/// type of `f`, or `first`'s 16-bit type in place of float. Throws ShapeError.
template <class F, class T, class D, class... X>
auto map(const F& f, const Tensor<T, D>& first, const X&... rest) {
  using R = std::remove_cvref_t<decltype(f(widened(std::declval<T>()),
                                           widened(std::declval<typename detail::OperandTraits<X>::value_type>())...))>;
  Tensor<std::conditional_t<Narrow<T> && std::same_as<R, float>, T, R>, D> out(first.shape());
  map_into(out, f, first, rest...);
  return out;
}

}  // namespace hypersd::ops
