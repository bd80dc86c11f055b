// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/attention/forward.hpp>
#include <hypersd/ops/cuda/attention/forward_mma.hpp>
#include <hypersd/ops/cuda/attention/gradient.hpp>
#include <hypersd/ops/cuda/attention/gradient_mma.hpp>
#include <hypersd/ops/cuda/attention/tangent.hpp>
#include <hypersd/ops/cuda/fill.hpp>
#include <hypersd/ops/reduce.hpp>
#include <type_traits>

/// \file
/// Attention and its gradients: on tensor cores for 16-bit tensors (forward_mma.hpp, gradient_mma.hpp), else by tiles
/// in shared memory (forward.hpp, gradient.hpp).

namespace hypersd::ops::backend {

/// Calls f(width) with the columns of the result that one thread block keeps in registers, at most `most`, as a
/// compile-time number.
template <int most, class F>
void with_head_width(std::int64_t dim, F&& f) {
  if (dim <= 64) return f(std::integral_constant<int, 64>{});
  if constexpr (most > 128)
    if (dim > 128) return f(std::integral_constant<int, most>{});
  f(std::integral_constant<int, 128>{});
}

/// Attention on tensor cores. False, with nothing launched, unless the head size is a multiple of 8, at most 160, and
/// the tensors are aligned.
template <launch::KernelDevice D, Narrow T>
bool attention_on_tensor_cores(const D& device, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y,
                               float* log_sum) {
  return launch::with_mma_width(g.dim, [&](auto width) {
    constexpr int head = decltype(width)::value;
    if (!launch::mma_fits(g, head, q, k, v, y)) return false;
    run_blocks(device, "attention", launch::AttentionForwardMma<T, head>{g, q, k, v, y, log_sum});
    return true;
  });
}

template <launch::KernelDevice D, class T>
void attention(const D& device, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y,
               Accumulator<T>* log_sum) {
  if (g.keys == 1) {
    fill(device, "attention", log_sum, Accumulator<T>(0), g.batch * g.heads * g.queries);
    return run_elements(device, "attention", launch::AttentionSingleElements<T>{g, v, y});
  }
  if constexpr (Narrow<T>) {
    if (attention_on_tensor_cores(device, g, q, k, v, y, log_sum)) return;
  }
  with_head_width<256>(g.dim, [&](auto width) {
    run_blocks(device, "attention", launch::AttentionForward<T, decltype(width)::value>{g, q, k, v, y, log_sum});
  });
}

/// The gradients under the same conditions.
template <launch::KernelDevice D, Narrow T>
bool attention_gradient_on_tensor_cores(const D& device, const AttentionGeometry& g,
                                        const launch::AttentionGradientInputs<T>& in, T* gq, T* gk, T* gv) {
  constexpr const char* name = "attention_gradient";
  return launch::with_mma_width(g.dim, [&](auto head) {
    constexpr int width = decltype(head)::value;
    if (!launch::mma_fits(g, width, in.gy, in.q, in.k, in.v, gq, gk, gv)) return false;
    run_blocks(device, name, launch::AttentionQueryGradientMma<T, width>{g, in, gq});
    if constexpr (width <= 128) {
      run_blocks(device, name, launch::AttentionKeyGradientMma<T, width, true, true>{g, in, gk, gv});
    } else {
      run_blocks(device, name, launch::AttentionKeyGradientMma<T, width, true, false>{g, in, gk, gv});
      run_blocks(device, name, launch::AttentionKeyGradientMma<T, width, false, true>{g, in, gk, gv});
    }
    return true;
  });
}

template <launch::KernelDevice D, class T>
void attention_gradient(const D& device, const AttentionGeometry& g, const T* gy, const T* q, const T* k, const T* v,
                        const T* y, const Accumulator<T>* log_sum, T* gq, T* gk, T* gv) {
  constexpr const char* name = "attention_gradient";
  if (g.keys == 1) {  // constant weights: only the value has a gradient
    fill(device, name, gq, T(0), g.batch * g.queries * g.channels());
    fill(device, name, gk, T(0), g.batch * g.channels());
    return sum_rows(device, gv, gy, g.batch, g.queries, g.channels());
  }
  const Tensor<Accumulator<T>, D> delta(Shape{g.batch, g.heads, g.queries});
  launch::with_vector_width<T>(g.dim, {gy, y}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, name, launch::AttentionDeltaElements<T, n>{g, gy, y, delta.data()});
  });
  const launch::AttentionGradientInputs<T> in{gy, q, k, v, log_sum, delta.data()};
  if constexpr (Narrow<T>) {
    if (attention_gradient_on_tensor_cores(device, g, in, gq, gk, gv)) return;
  }
  with_head_width<128>(g.dim, [&](auto width) {
    constexpr int columns = decltype(width)::value;
    run_blocks(device, name, launch::AttentionQueryGradient<T, columns>{g, in, gq});
    run_blocks(device, name, launch::AttentionKeyGradient<T, columns>{g, in, gk, gv});
  });
}

template <launch::KernelDevice D, class T>
void attention_tangent(const D& device, const AttentionGeometry& g, const AttentionTangentInputs<T>& in, T* dy) {
  run_blocks(device, "attention_tangent", launch::AttentionTangent<T>{g, in, dy});
}

}  // namespace hypersd::ops::backend
