// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>

#include <doctest/doctest.h>
#include <numbers.hpp>
#include <vector>

/// \file
/// Tolerances of 16-bit results: each must be the 16-bit number nearest to the float32 result of the same rounded
/// inputs.

namespace narrow {

using namespace hypersd;

/// Half the distance from 1 to the next number.
template <class T>
inline constexpr double roundoff = std::same_as<T, bfloat16> ? 0x1p-8 : 0x1p-11;

/// Tensors of type E on device D whose values T holds.
template <class T, class E, class D>
struct Inputs {
  using value_type = E;
  using device_type = D;
  Tensor<E, D> operator()(const Shape& shape, const char* name) const {
    return ops::cast<E>(ops::cast<T>(numbers::normal<float>(shape, name))).template to<D>();
  }
  /// A result that is read again, as T stored it.
  Tensor<E, D> stored(const Tensor<E, D>& t) const { return ops::cast<E>(ops::cast<T>(t)); }
};

using Results = std::vector<Tensor<float>>;

/// A result on the host in float.
template <class T, class D>
Tensor<float> result(const Tensor<T, D>& t) {
  return ops::cast<float>(t.template to<Cpu>());
}

/// Largest error of T's results on device D, in units of one rounding of the float result. Numbers below `floor` of the
/// tensor's largest count as that, since sums that cancel keep the error of their addends.
template <class T, class D, class F>
double roundings(F&& f, double floor = 1e-2) {
  const Results want = f(Inputs<T, float, Cpu>{}), got = f(Inputs<T, T, D>{});
  REQUIRE(want.size() == got.size());
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    REQUIRE(want[i].shape() == got[i].shape());
    double largest = 0;
    for (const float v : want[i].span()) largest = std::max(largest, std::abs(static_cast<double>(v)));
    for (std::int64_t j = 0; j < want[i].size(); ++j) {
      const auto w = static_cast<double>(want[i][j]), g = static_cast<double>(got[i][j]);
      const double unit = roundoff<T> * std::max({std::abs(w), floor * largest, 0x1p-14});
      const double error = std::abs(w - g) / unit;
      worst = numbers::worse(worst, error);
    }
  }
  return worst;
}

}  // namespace narrow
