// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/reduce.hpp>
#include <tuple>

/// \file
/// Differentiable `ops::map`: the gradient of a functor f with respect to argument I is one more map, of
/// gout * f.d<I>(args...), summed over the axes along which that argument was broadcast; the tangent of the result is
/// the sum over I of d<I>(args...) times the tangent of argument I.

namespace hypersd::autograd {

namespace detail {

/// What `map` accepts: variables and constant tensors, each possibly broadcast.
template <class X>
struct MapOperand {
  static constexpr bool variable = false;
  static const X& tensor(const X& x) { return x; }
};
template <class T, class D>
struct MapOperand<Var<T, D>> {
  static constexpr bool variable = true;
  static const Tensor<T, D>& tensor(const Var<T, D>& v) { return v.value(); }
  static const Var<T, D>& var(const Var<T, D>& v) { return v; }
  static Tensor<T, D> reduce(Tensor<T, D> g, const Shape&) { return g; }
  static Tensor<T, D> spread(const Tensor<T, D>& tangent, const Shape&) { return tangent; }
};
template <class T, class D, ops::Broadcast kind>
struct MapOperand<ops::Broadcasted<Var<T, D>, kind>> {
  static constexpr bool variable = true;
  static ops::Broadcasted<Tensor<T, D>, kind> tensor(const ops::Broadcasted<Var<T, D>, kind>& b) {
    return {b.tensor.value()};
  }
  static const Var<T, D>& var(const ops::Broadcasted<Var<T, D>, kind>& b) { return b.tensor; }
  static Tensor<T, D> reduce(const Tensor<T, D>& g, const Shape& shape) {
    if constexpr (kind == ops::Broadcast::single)
      return ops::sum(g).reshape(shape);
    else if constexpr (kind == ops::Broadcast::row)
      return ops::sum_to_samples(g).reshape(shape);
    else
      return shape.rank() == 1 ? ops::sum_to_channels(g) : ops::sum_to_sample_channels(g);
  }
  static Tensor<T, D> spread(const Tensor<T, D>& tangent, const Shape& shape) {
    Tensor<T, D> out(shape);
    ops::map_into(out, ops::Identity{}, ops::Broadcasted<Tensor<T, D>, kind>{tangent});
    return out;
  }
};

/// gout * d f / d arg I.
template <int I, class F>
struct Chain {
  F f;
  template <class T, class... A>
  HYPERSD_HD T operator()(T gout, A... args) const {
    return gout * f.template d<I>(args...);
  }
};

template <int I, class F, class T, class D, class... X>
void map_backward(const F& f, const Tensor<T, D>& gout, const std::tuple<X...>& operands) {
  using Operand = MapOperand<std::tuple_element_t<static_cast<std::size_t>(I), std::tuple<X...>>>;
  if constexpr (Operand::variable) {
    const auto& in = Operand::var(std::get<static_cast<std::size_t>(I)>(operands));
    if (in.requires_grad()) {
      if constexpr (requires { requires F::unit_derivative; }) {
        in.accumulate(Operand::reduce(gout, in.shape()));  // the factor is 1: share the gradient
      } else {
        auto g = std::apply(
            [&](const auto&... x) {
              return ops::map(Chain<I, F>{f}, gout, MapOperand<std::remove_cvref_t<decltype(x)>>::tensor(x)...);
            },
            operands);
        in.accumulate(Operand::reduce(std::move(g), in.shape()));
      }
    }
  }
  if constexpr (I + 1 < static_cast<int>(sizeof...(X))) map_backward<I + 1>(f, gout, operands);
}

/// The tangent of f(operands...): the sum over arguments I of d f / d arg I times their tangents, by the same kernels
/// as the backward pass. Undefined if no operand has one.
template <int I, class F, class T, class D, class... X>
void map_forward(const F& f, Tensor<T, D>& sum, const Shape& shape, const std::tuple<X...>& operands) {
  using Operand = MapOperand<std::tuple_element_t<static_cast<std::size_t>(I), std::tuple<X...>>>;
  if constexpr (Operand::variable) {
    const auto& in = Operand::var(std::get<static_cast<std::size_t>(I)>(operands));
    if (in.has_tangent()) {
      auto tangent = Operand::spread(in.tangent(), shape);
      if constexpr (requires { requires F::unit_derivative; }) {
        add_tangent(sum, std::move(tangent));
      } else {
        add_tangent(sum, std::apply(
                             [&](const auto&... x) {
                               return ops::map(Chain<I, F>{f}, tangent,
                                               MapOperand<std::remove_cvref_t<decltype(x)>>::tensor(x)...);
                             },
                             operands));
      }
    }
  }
  if constexpr (I + 1 < static_cast<int>(sizeof...(X))) map_forward<I + 1>(f, sum, shape, operands);
}

template <class T, class D, class X>
void collect(std::vector<Var<T, D>>& out, const X& x) {
  if constexpr (MapOperand<X>::variable) out.push_back(MapOperand<X>::var(x));
}

}  // namespace detail

/// f(first, rest...) for each element. Operands are variables or constant tensors; those of `rest` may be broadcast by
/// `ops::per_sample`, `ops::per_channel` or `ops::everywhere`. `F` needs the derivative `d<I>` for each operand I that
/// is a variable. Throws ShapeError.
template <class F, class T, class D, class... X>
Var<T, D> map(const F& f, const Var<T, D>& first, const X&... rest) {
  auto value = ops::map(f, first.value(), detail::MapOperand<X>::tensor(rest)...);
  std::vector<Var<T, D>> inputs;
  inputs.reserve(1 + sizeof...(rest));
  inputs.push_back(first);
  (detail::collect(inputs, rest), ...);
  return make_result<T, D>(
      std::move(value), inputs,
      [f, operands = std::tuple(first, rest...)](const Tensor<T, D>& g) { detail::map_backward<0>(f, g, operands); },
      [&] {
        Tensor<T, D> tangent;
        detail::map_forward<0>(f, tangent, first.shape(), std::tuple(first, rest...));
        return tangent;
      });
}

}  // namespace hypersd::autograd
