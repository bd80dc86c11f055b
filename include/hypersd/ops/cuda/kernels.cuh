// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/mma.hpp>

namespace hypersd::ops::launch {

/// A CUDA thread block of `count` threads as the bodies of ops/cuda/rows.hpp see it. All threads must reach every
/// member, and every member but `alone`, `mma`, `load_matrices`, `copy_async` and `quad` ends with a barrier. The host
/// side of each is empty: it only lets host-device bodies compile.
template <int count>
class CudaBlock {
 public:
  static_assert(count % 32 == 0 && count <= 1024);
  /// What each thread has for itself.
  template <class X>
  struct Private {
    X value;
    HYPERSD_HD X& operator[](int) { return value; }
  };

  /// `scratch` is shared and holds a double for every warp.
  HYPERSD_HD explicit CudaBlock(double* scratch) : scratch_(scratch) {}

  template <class F>
  HYPERSD_HD void each(F&& f) {
#if defined(__CUDA_ARCH__)
    f(static_cast<int>(threadIdx.x));
    __syncthreads();
#else
    (void)f;
#endif
  }
  /// Like `each` without waiting: for what no other thread reads.
  template <class F>
  HYPERSD_HD void alone(F&& f) {
#if defined(__CUDA_ARCH__)
    f(static_cast<int>(threadIdx.x));
#else
    (void)f;
#endif
  }
  /// Each warp's product of the registers that f(thread) returns (ops/cuda/mma.hpp); T is bfloat16 or half.
  template <class T, class F>
  HYPERSD_HD void mma(F&& f) {
#if defined(__CUDA_ARCH__)
    mma_sync<T>(f(static_cast<int>(threadIdx.x)));
#else
    (void)f;
#endif
  }
  /// Each warp's loading of four matrices as f(thread) says (ops/cuda/mma.hpp).
  template <bool transposed, class F>
  HYPERSD_HD void load_matrices(F&& f) {
#if defined(__CUDA_ARCH__)
    ldmatrix<transposed>(f(static_cast<int>(threadIdx.x)));
#else
    (void)f;
#endif
  }
  /// Starts a group of copies into shared memory: f(thread, copy) calls copy(Bytes<n>{}, to, from, there), as CopyWords
  /// of ops/cuda/vectorized.hpp. What they write is undefined until `wait_copies` has waited for them.
  template <class F>
  HYPERSD_HD void copy_async(F&& f) {
#if defined(__CUDA_ARCH__)
    f(static_cast<int>(threadIdx.x), CopyWords{});
    close_copies();
#else
    (void)f;
#endif
  }
  /// Waits for all groups but the last `pending`, of all threads.
  template <int pending>
  HYPERSD_HD void wait_copies() {
#if defined(__CUDA_ARCH__)
    wait_for_copies<pending>();
    __syncthreads();
#endif
  }
  /// Joins the float& that f(thread) returns over each four neighbouring threads.
  template <class F, class Join>
  HYPERSD_HD void quad(F&& f, Join&& join) {
#if defined(__CUDA_ARCH__)
    float& x = f(static_cast<int>(threadIdx.x));
    x = join(x, __shfl_xor_sync(0xffffffffU, x, 1));
    x = join(x, __shfl_xor_sync(0xffffffffU, x, 2));
#else
    (void)f;
    (void)join;
#endif
  }
  /// Pairs in a warp, then the warps in order: the same sum every time.
  template <class X, class F>
  HYPERSD_HD X sum(F&& f) {
    return fold<X>(f, [](X a, X b) { return a + b; });
  }
  template <class X, class F>
  HYPERSD_HD X largest(F&& f) {
    return fold<X>(f, [](X a, X b) { return a > b ? a : b; });
  }

 private:
  template <class X, class F, class Join>
  HYPERSD_HD X fold(F&& f, Join&& join) {
#if defined(__CUDA_ARCH__)
    static_assert(sizeof(X) <= sizeof(double));
    X* slots = reinterpret_cast<X*>(scratch_);
    const int t = static_cast<int>(threadIdx.x);
    X value = f(t);
    for (unsigned offset = 16; offset > 0; offset /= 2)
      value = join(value, __shfl_down_sync(0xffffffffU, value, offset));
    if (t % 32 == 0) slots[t / 32] = value;
    __syncthreads();
    X out = slots[0];
    for (int warp = 1; warp < count / 32; ++warp) out = join(out, slots[warp]);
    __syncthreads();
    return out;
#else
    (void)f;
    (void)join;
    return X();
#endif
  }

  double* scratch_;
};

template <class Index, class Op>
__global__ void elements_kernel(Op op, std::int64_t n) {
  run_thread<Index>(op, n, gridDim.x, blockIdx.x, threadIdx.x);
}

/// Runs `op` for all its elements; indices have 32 bits where that is enough.
template <class Op>
void run_elements(const Cuda&, const char* name, const Op& op) {
  const std::int64_t n = op.size();
  if (n == 0) return;
  const auto grid = static_cast<unsigned>(blocks(n));
  hypersd::detail::launch(name, {grid, threads},
                          narrow(n) ? elements_kernel<std::uint32_t, Op> : elements_kernel<std::int64_t, Op>, op, n);
}

/// Blocks that a multiprocessor is to hold at a time: `Body::resident` if there is one. It bounds the registers.
template <class Body>
constexpr int resident_blocks() {
  if constexpr (requires { Body::resident; })
    return Body::resident;
  else
    return 0;  // no bound
}

template <class Body>
__global__ void __launch_bounds__(Body::threads, resident_blocks<Body>()) block_kernel(Body body) {
  __shared__ double scratch[Body::threads / 32];
  __shared__ typename Body::Shared shared;
  CudaBlock<Body::threads> block(scratch);
  for (std::int64_t i = blockIdx.x; i < body.blocks(); i += gridDim.x) body(block, i, shared);
}

/// Runs a body, a thread block for each of its `blocks()`.
template <class Body>
void run_blocks(const Cuda&, const char* name, const Body& body) {
  const std::int64_t n = body.blocks();
  if (n == 0) return;
  constexpr std::int64_t most = 1 << 20;
  hypersd::detail::launch(name, {static_cast<unsigned>(n < most ? n : most), Body::threads}, block_kernel<Body>, body);
}

}  // namespace hypersd::ops::launch
