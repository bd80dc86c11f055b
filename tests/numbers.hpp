// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/parallel.hpp>
#include <hypersd/ops/random.hpp>
#include <limits>
#include <string_view>

/// \file
/// Helpers of numeric tests.

namespace numbers {

/// Standard normals that depend on `name` and the element's index only.
template <class T = double>
hypersd::Tensor<T> normal(const hypersd::Shape& shape, std::string_view name) {
  return hypersd::ops::normal<T>(shape, hypersd::stream(2024, name));
}

/// The larger of two errors; NaN if either is.
inline double worse(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

/// Largest absolute difference; infinity for different shapes.
template <class A, class B>
double distance(const hypersd::Tensor<A>& a, const hypersd::Tensor<B>& b) {
  if (!(a.shape() == b.shape())) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    worst = worse(worst, d);
  }
  return worst;
}

template <class T, class D>
hypersd::Tensor<T> host(const hypersd::Tensor<T, D>& t) {
  return t.template to<hypersd::Cpu>();
}

/// Largest distance of `got` from `expected`, both lists of host tensors; infinity for lists of different lengths or
/// where `again` differs from `got` in a bit.
template <class List>
double repeatable_distance(const List& expected, const List& got, const List& again) {
  double worst = expected.size() == got.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i) {
    const double d = got[i].to_vector() == again[i].to_vector() ? distance(got[i], expected[i])
                                                                : std::numeric_limits<double>::infinity();
    worst = worse(worst, d);
  }
  return worst;
}

/// f() with 1, 2 and 4 threads gives the same bits; f returns a tensor.
template <class F>
bool same_for_any_threads(F&& f) {
  const int before = hypersd::num_threads();
  hypersd::set_num_threads(1);
  const auto one = f();
  bool same = true;
  for (const int n : {2, 4}) {
    hypersd::set_num_threads(n);
    same = same && f().to_vector() == one.to_vector();
  }
  hypersd::set_num_threads(before);
  return same;
}

}  // namespace numbers
