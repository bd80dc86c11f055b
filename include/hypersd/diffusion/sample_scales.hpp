// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <vector>

namespace hypersd::diffusion {

/// One number a sample, [B], on the device: times, coefficients, weights.
template <class T, class D, class N>
Numbers<T, D> sample_scales(const std::vector<N>& values) {
  using A = Accumulator<T>;
  std::vector<A> rounded;
  for (const N v : values) rounded.push_back(static_cast<A>(v));
  return Numbers<T, D>::from(Shape{static_cast<std::int64_t>(values.size())}, rounded);
}

}  // namespace hypersd::diffusion
