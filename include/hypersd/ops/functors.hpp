// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/core/scalar.hpp>

/// \file
/// Scalar functors for `ops::map`, on host and device. `d<I>(args...)` is the partial derivative with respect to
/// argument I, all that autograd needs for the backward pass. `unit_derivative` marks functors whose partial
/// derivatives are all 1.

namespace hypersd::ops {

/// x.
struct Identity {
  static constexpr bool unit_derivative = true;
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x;
  }
  template <int I, class T>
  HYPERSD_HD T d(T) const {
    return T(1);
  }
};
/// x + y.
struct Add {
  static constexpr bool unit_derivative = true;
  template <class T>
  HYPERSD_HD T operator()(T x, T y) const {
    return x + y;
  }
  template <int I, class T>
  HYPERSD_HD T d(T, T) const {
    return T(1);
  }
};
/// x - y.
struct Sub {
  template <class T>
  HYPERSD_HD T operator()(T x, T y) const {
    return x - y;
  }
  template <int I, class T>
  HYPERSD_HD T d(T, T) const {
    return I == 0 ? T(1) : T(-1);
  }
};
/// x y.
struct Mul {
  template <class T>
  HYPERSD_HD T operator()(T x, T y) const {
    return x * y;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x, T y) const {
    return I == 0 ? y : x;
  }
};
/// a x + b.
template <class S>
struct Affine {
  S a = 1, b = 0;
  HYPERSD_HD S operator()(S x) const { return a * x + b; }
  template <int I>
  HYPERSD_HD S d(S) const {
    return a;
  }
};
/// a x + b y.
template <class S>
struct LinearCombination {
  S a = 1, b = 1;
  HYPERSD_HD S operator()(S x, S y) const { return a * x + b * y; }
  template <int I>
  HYPERSD_HD S d(S, S) const {
    return I == 0 ? a : b;
  }
};
/// a x + b y with coefficients that are operands too (per sample, say): arguments (x, y, a, b).
struct Combine {
  template <class T>
  HYPERSD_HD T operator()(T x, T y, T a, T b) const {
    return a * x + b * y;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x, T y, T a, T b) const {
    return I == 0 ? a : I == 1 ? b : I == 2 ? x : y;
  }
};
/// x^2.
struct Square {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x * x;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return T(2) * x;
  }
};
/// max(x, 0); derivative 0 at 0.
struct Relu {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x > T(0) ? x : T(0);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x > T(0) ? T(1) : T(0);
  }
};
/// x for x > 0, else slope x.
struct LeakyRelu {
  double slope = 0.2;
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x > T(0) ? x : T(slope) * x;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x > T(0) ? T(1) : T(slope);
  }
};
/// x sigmoid(x).
struct Silu {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x * math::sigmoid(x);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    const T s = math::sigmoid(x);
    return s * (T(1) + x * (T(1) - s));
  }
};
/// x Phi(x), the exact erf form.
struct Gelu {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return T(0.5) * x * (T(1) + math::erf(x * T(0.70710678118654752)));
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return T(0.5) * (T(1) + math::erf(x * T(0.70710678118654752))) +
           x * T(0.39894228040143268) * math::exp(T(-0.5) * x * x);
  }
};
/// tanh x.
struct Tanh {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return math::tanh(x);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    const T y = math::tanh(x);
    return T(1) - y * y;
  }
};
/// e^x.
struct Exp {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return math::exp(x);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return math::exp(x);
  }
};
/// |x|; derivative 0 at 0.
struct Abs {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x < T(0) ? -x : x;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
  }
};
/// x limited to [low, high]; derivative 0 outside.
template <Real A>
struct Clamp {
  A low, high;
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x < T(low) ? T(low) : x > T(high) ? T(high) : x;
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x < T(low) || x > T(high) ? T(0) : T(1);
  }
};
/// ln(1 + e^x), without overflow.
struct Softplus {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    const T a = x < T(0) ? x : -x;
    return (x > T(0) ? x : T(0)) + math::log(T(1) + math::exp(a));
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return math::sigmoid(x);
  }
};
/// sqrt(x^2 + c^2) - c.
struct PseudoHuber {
  double c = 1e-3;
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return math::sqrt(x * x + T(c * c)) - T(c);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x / math::sqrt(x * x + T(c * c));
  }
};

}  // namespace hypersd::ops
