// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <hypersd/core/tensor.hpp>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>
#if __has_include(<xtensor/containers/xadapt.hpp>)  // xtensor 0.26 and later
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/core/xexpression.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xexpression.hpp>
#endif

/// \file
/// A tensor as an xtensor container, and any xtensor expression as a tensor.

namespace hypersd::interop {

/// `tensor` as an xtensor container of dynamic rank, row-major, without copying: writes go both ways. The container
/// keeps the storage alive, even when the tensor is gone.
template <Scalar T>
requires std::is_arithmetic_v<T>
auto as_xtensor(const Tensor<T>& tensor) {
  require<ShapeError>(tensor.defined(), "as_xtensor: the tensor is undefined");
  const std::vector<std::size_t> shape(tensor.shape().begin(), tensor.shape().end());
  return xt::adapt_smart_ptr(tensor.data(), shape, std::make_shared<Tensor<T>>(tensor));
}

/// The values of an xtensor expression, lazy or not, in a new tensor of elements `T` (by default the expression's own
/// type). Any layout becomes row-major. Throws ShapeError for more than six axes.
template <class T = void, class E>
auto to_tensor(const xt::xexpression<E>& expression) {
  using Element = std::conditional_t<std::is_void_v<T>, std::remove_const_t<typename E::value_type>, T>;
  static_assert(Scalar<Element>, "name an element type that tensors hold: to_tensor<float>(expression)");
  const E& e = expression.derived_cast();
  Tensor<Element> out(Shape(e.shape().begin(), e.shape().end()));
  std::transform(e.template begin<xt::layout_type::row_major>(), e.template end<xt::layout_type::row_major>(),
                 out.data(), [](const auto& x) {
                   if constexpr (std::is_arithmetic_v<Element>) {
                     return static_cast<Element>(x);
                   } else {
                     return Element(static_cast<float>(x));
                   }
                 });
  return out;
}

}  // namespace hypersd::interop
