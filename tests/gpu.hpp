// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>
#include <numbers.hpp>
#include <vector>

/// \file
/// What tests on a GPU share.

namespace gpu {

inline bool have_device() {
  int count = 0;
  const bool ok = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  (void)cudaGetLastError();
  if (!ok) MESSAGE("no CUDA device: compiled and linked only");
  return ok;
}

template <class D, class T = float>
hypersd::Tensor<T, D> normal(const hypersd::Shape& shape, const char* name) {
  return numbers::normal<T>(shape, name).template to<D>();
}

template <class T, class D>
hypersd::Tensor<T> host(const hypersd::Tensor<T, D>& t) {
  return t.template to<hypersd::Cpu>();
}

/// Largest difference between the tensors of `f(Cpu{})` and `f(Cuda{})`; infinity if a second run on the GPU changes a
/// bit of one.
template <class F>
double distance_to_cpu(F&& f) {
  const auto expected = f(hypersd::Cpu{});
  const auto got = f(hypersd::Cuda{}), again = f(hypersd::Cuda{});
  double worst = expected.size() == got.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i) {
    const double d = got[i].to_vector() == again[i].to_vector() ? numbers::distance(got[i], expected[i])
                                                                : std::numeric_limits<double>::infinity();
    worst = d <= worst ? worst : d;
  }
  return worst;
}

}  // namespace gpu
