// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cpu/random.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/random.cuh>
#endif

namespace hypersd::ops {

/// Fills `out` with standard normals: element i is element `offset` + i of stream `s`, on every device. With `offset` a
/// batch can be drawn in parts. Throws OptionError for a negative offset.
template <class T, class D>
void normal_into(const Tensor<T, D>& out, Stream s, std::int64_t offset = 0) {
  require<OptionError>(offset >= 0, "normal: negative offset ", offset);
  backend::normal(D{}, out.data(), out.size(), s, offset);
}

/// Standard normals of shape `shape`, see `normal_into`.
template <class T, class D = Cpu>
Tensor<T, D> normal(const Shape& shape, Stream s, std::int64_t offset = 0) {
  Tensor<T, D> out(shape);
  normal_into(out, s, offset);
  return out;
}

/// Uniform numbers in [low, high): element i is element `offset` + i of stream `s`. Throws OptionError for a negative
/// offset.
template <class T, class D = Cpu>
Tensor<T, D> uniform(const Shape& shape, Stream s, Accumulator<T> low = 0, Accumulator<T> high = 1,
                     std::int64_t offset = 0) {
  require<OptionError>(offset >= 0, "uniform: negative offset ", offset);
  Tensor<T, D> out(shape);
  backend::uniform(D{}, out.data(), out.size(), s, offset, low, high);
  return out;
}

}  // namespace hypersd::ops
