// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/philox.hpp>
#include <hypersd/core/scalar.hpp>

/// \file
/// What the back-ends of `affine_step_into` take. Trivially copyable, so that they are kernel arguments.

namespace hypersd::ops {

/// The noise of a step: its element i is element `offset` + i of `stream`.
struct NoiseSource {
  Stream stream{};
  std::int64_t offset = 0;
};

/// Pointers to device memory, `n` elements in samples of `inner`; an absent operand is null. The noise is `source`, or,
/// if `key` is not null, the one that its three numbers (seed, id, offset) name.
template <class T>
struct AffineStepArguments {
  T* out;
  const T *x, *first, *second;
  const Accumulator<T>*x_scale, *first_scale, *second_scale, *noise_scale;
  std::int64_t n, inner;
  NoiseSource source;
  const std::int64_t* key;

  [[nodiscard]] HYPERSD_HD NoiseSource noise() const {
    if (!key) return source;
    return {{static_cast<std::uint64_t>(key[0]), static_cast<std::uint64_t>(key[1])}, key[2]};
  }
};

/// `first` is a stored operand.
struct StoredFirst {
  template <class T, class A>
  HYPERSD_HD A operator()(const T* first, std::int64_t i, A) const {
    return static_cast<A>(first[i]);
  }
};
/// `first` is a function of x and is not stored.
template <class F>
struct ComputedFirst {
  F f;
  template <class T, class A>
  HYPERSD_HD A operator()(const T*, std::int64_t, A x) const {
    return f(x);
  }
};

}  // namespace hypersd::ops
