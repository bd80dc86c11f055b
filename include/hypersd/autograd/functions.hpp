// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_map.hpp>
#include <hypersd/autograd/grad_reduce.hpp>

/// \file
/// Named functions of variables, thin over `map`: arithmetic, activations, losses. Shapes are those of the operands.

namespace hypersd::autograd {

/// x + y, same shape; y may also be `ops::per_channel(v)` or `ops::per_sample(v)`.
template <class T, class D, class Y>
Var<T, D> add(const Var<T, D>& x, const Y& y) {
  return map(ops::Add{}, x, y);
}
/// x - y; operands as in `add`.
template <class T, class D, class Y>
Var<T, D> sub(const Var<T, D>& x, const Y& y) {
  return map(ops::Sub{}, x, y);
}
/// x y; operands as in `add`.
template <class T, class D, class Y>
Var<T, D> mul(const Var<T, D>& x, const Y& y) {
  return map(ops::Mul{}, x, y);
}
/// a x + b with numbers a, b.
template <class T, class D>
Var<T, D> affine(const Var<T, D>& x, Accumulator<T> a, Accumulator<T> b = 0) {
  return map(ops::Affine<Accumulator<T>>{a, b}, x);
}
/// a x + b y with numbers a, b.
template <class T, class D>
Var<T, D> linear_combination(Accumulator<T> a, const Var<T, D>& x, Accumulator<T> b, const Var<T, D>& y) {
  return map(ops::LinearCombination<Accumulator<T>>{a, b}, x, y);
}
/// a[i] x[i] + b[i] y[i] for sample i; a and b are constant [B] tensors.
template <class T, class D>
Var<T, D> combine_samples(const Numbers<T, D>& a, const Var<T, D>& x, const Numbers<T, D>& b, const Var<T, D>& y) {
  return map(ops::Combine{}, x, y, ops::per_sample(a), ops::per_sample(b));
}

/// x sigmoid(x).
template <class T, class D>
Var<T, D> silu(const Var<T, D>& x) {
  return map(ops::Silu{}, x);
}
/// x Phi(x), the exact erf form.
template <class T, class D>
Var<T, D> gelu(const Var<T, D>& x) {
  return map(ops::Gelu{}, x);
}
/// max(x, 0).
template <class T, class D>
Var<T, D> relu(const Var<T, D>& x) {
  return map(ops::Relu{}, x);
}
/// x for x > 0, else slope x.
template <class T, class D>
Var<T, D> leaky_relu(const Var<T, D>& x, double slope = 0.2) {
  return map(ops::LeakyRelu{slope}, x);
}
/// tanh x.
template <class T, class D>
Var<T, D> tanh(const Var<T, D>& x) {
  return map(ops::Tanh{}, x);
}
/// e^x.
template <class T, class D>
Var<T, D> exp(const Var<T, D>& x) {
  return map(ops::Exp{}, x);
}
/// ln(1 + e^x).
template <class T, class D>
Var<T, D> softplus(const Var<T, D>& x) {
  return map(ops::Softplus{}, x);
}

/// The same values with another shape of as many elements; the value is a view. Throws ShapeError.
template <class T, class D>
Var<T, D> reshape(const Var<T, D>& x, const Shape& shape) {
  return make_result<T, D>(
      x.value().reshape(shape), {x}, [x](const Tensor<T, D>& g) { x.accumulate(g.reshape(x.shape())); },
      [&] { return x.tangent().reshape(shape); });
}

/// f(x - y) as one functor, for losses.
template <class F>
struct OfDifference {
  F f;
  template <class T>
  HYPERSD_HD T operator()(T x, T y) const {
    return f(x - y);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x, T y) const {
    return I == 0 ? f.template d<0>(x - y) : -f.template d<0>(x - y);
  }
};

/// mean (x - y)^2 over all elements, shape [1]; operands as in `add`.
template <class T, class D, class Y>
Var<T, D> mse(const Var<T, D>& x, const Y& y) {
  return map_mean(OfDifference<ops::Square>{}, x, y);
}
/// mean |x - y| over all elements, shape [1]; operands as in `add`.
template <class T, class D, class Y>
Var<T, D> l1(const Var<T, D>& x, const Y& y) {
  return map_mean(OfDifference<ops::Abs>{}, x, y);
}

}  // namespace hypersd::autograd
