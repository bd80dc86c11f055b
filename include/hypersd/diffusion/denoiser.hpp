// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/autograd/variable.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::diffusion {

/// A network: `net(x, t, condition)` with x a variable [B, ...] and t [B] training times as numbers gives a prediction
/// of x's shape. Times are float where x is of 16 bits. What `Condition` is, the network says.
template <class N, class T, class D, class Condition>
concept Denoiser = requires(const N& net, const Var<T, D>& x, const Numbers<T, D>& t, const Condition& condition) {
  { net(x, t, condition) } -> std::convertible_to<Var<T, D>>;
};

/// A denoiser without parameters to train, an analytic one say: the same on plain tensors.
template <class N, class T, class D, class Condition>
concept TensorDenoiser = requires(const N& net, const Tensor<T, D>& x, const Numbers<T, D>& t,
                                  const Condition& condition) {
  { net(x, t, condition) } -> std::convertible_to<Tensor<T, D>>;
};

/// Either kind: what samplers and teachers need.
template <class N, class T, class D, class Condition>
concept Predictor = Denoiser<N, T, D, Condition> || TensorDenoiser<N, T, D, Condition>;

namespace detail {

/// Refuses what a sampler, a teacher or a target cannot call.
template <class N, class T, class D, class Condition>
constexpr void require_network() {
  static_assert(Predictor<N, T, D, Condition>,
                "a network must take network(x, t, condition) const, with x [B, ...] a Var or a Tensor, t [B] a Tensor "
                "of times and the condition given here, and must return a prediction of x's type and shape");
}
/// Refuses what cannot be trained as a student.
template <class N, class T, class D, class Condition>
constexpr void require_student() {
  static_assert(Denoiser<N, T, D, Condition>,
                "a student network must take network(x, t, condition) const, with x [B, ...] a Var, t [B] a Tensor of "
                "times and the batch's condition, and must return a Var of x's shape");
}

}  // namespace detail

/// The prediction as a tensor; no tape is recorded. Throws ShapeError unless it has x's shape.
template <class N, class T, class D, class Condition>
Tensor<T, D> predict(const N& net, const Tensor<T, D>& x, const Numbers<T, D>& t, const Condition& condition) {
  static_assert((detail::require_network<N, T, D, Condition>(), true));
  require<ShapeError>(x.rank() > 0 && t.size() == x.dim(0), "predict: ", t.size(), " times for a batch of shape ",
                      x.shape());
  Tensor<T, D> out;
  if constexpr (TensorDenoiser<N, T, D, Condition>) {
    out = net(x, t, condition);
  } else if constexpr (Denoiser<N, T, D, Condition>) {
    const autograd::NoGrad guard;
    const Var<T, D> prediction = net(Var<T, D>(x), t, condition);
    out = prediction.value();
  }
  require_same_shape("prediction", x.shape(), out.shape());
  return out;
}

/// A condition for denoisers that need none.
struct Unconditional {};

}  // namespace hypersd::diffusion
