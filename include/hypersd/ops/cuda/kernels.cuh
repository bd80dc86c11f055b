// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/mma.hpp>

/// \file
/// Launches of the kernels of this folder on a GPU.

namespace hypersd::ops::launch {

/// The `Block` of ops/cuda/thread_block.hpp on a GPU: a CUDA thread block of `count` threads. All threads must reach
/// every member. Every member but `each_unsynchronized`, `mma`, `ldmatrix`, `copy_async` and `quad_reduce` ends with a
/// barrier. On the host the members are empty: they only let host-device code compile.
template <int count>
class CudaBlock {
 public:
  static_assert(count % 32 == 0 && count <= 1024);
  /// A variable of each thread, in registers.
  template <class X>
  struct Private {
    X value;
    HYPERSD_HD X& operator[](int) { return value; }
  };

  /// `scratch` is shared memory for one double a warp.
  HYPERSD_HD explicit CudaBlock(double* scratch) : scratch_(scratch) {}

  /// f(thread) for all threads, then a barrier.
  template <class F>
  HYPERSD_HD void each(F&& f) {
#if defined(__CUDA_ARCH__)
    f(static_cast<int>(threadIdx.x));
    __syncthreads();
#else
    (void)f;
#endif
  }
  /// `each` without the barrier: for what no other thread reads.
  template <class F>
  HYPERSD_HD void each_unsynchronized(F&& f) {
#if defined(__CUDA_ARCH__)
    f(static_cast<int>(threadIdx.x));
#else
    (void)f;
#endif
  }
  /// Matrix multiply-accumulate of each warp on the fragments that f(thread) returns (ops/cuda/mma.hpp); T is bfloat16
  /// or half.
  template <class T, class F>
  HYPERSD_HD void mma(F&& f) {
#if defined(__CUDA_ARCH__)
    mma_sync<T>(f(static_cast<int>(threadIdx.x)));
#else
    (void)f;
#endif
  }
  /// Each warp loads four 8 x 8 matrices from shared memory as f(thread) says (ops/cuda/mma.hpp).
  template <bool transposed, class F>
  HYPERSD_HD void ldmatrix(F&& f) {
#if defined(__CUDA_ARCH__)
    launch::ldmatrix<transposed>(f(static_cast<int>(threadIdx.x)));
#else
    (void)f;
#endif
  }
  /// Issues and commits a group of asynchronous copies to shared memory: f(thread, copy) calls
  /// copy(Bytes<n>{}, to, from, valid), see `AsyncCopy`. The destination is undefined until `wait_copies` has waited.
  template <class F>
  HYPERSD_HD void copy_async(F&& f) {
#if defined(__CUDA_ARCH__)
    f(static_cast<int>(threadIdx.x), AsyncCopy{});
    commit_copies();
#else
    (void)f;
#endif
  }
  /// Waits for all groups of copies of all threads but the last `pending`.
  template <int pending>
  HYPERSD_HD void wait_copies() {
#if defined(__CUDA_ARCH__)
    wait_for_copies<pending>();
    __syncthreads();
#endif
  }
  /// Reduces the float& that f(thread) returns over each four neighbouring threads; all four get the result.
  template <class F, class Join>
  HYPERSD_HD void quad_reduce(F&& f, Join&& join) {
#if defined(__CUDA_ARCH__)
    float& x = f(static_cast<int>(threadIdx.x));
    x = join(x, __shfl_xor_sync(0xffffffffU, x, 1));
    x = join(x, __shfl_xor_sync(0xffffffffU, x, 2));
#else
    (void)f;
    (void)join;
#endif
  }
  /// Sum of f(thread) in every thread: a shuffle tree in each warp, then the warps in order, so that the bits are the
  /// same on every run.
  template <class X, class F>
  HYPERSD_HD X sum(F&& f) {
    return reduce<X>(f, [](X a, X b) { return a + b; });
  }
  /// Maximum of f(thread) in every thread.
  template <class X, class F>
  HYPERSD_HD X max(F&& f) {
    return reduce<X>(f, [](X a, X b) { return a > b ? a : b; });
  }

 private:
  template <class X, class F, class Join>
  HYPERSD_HD X reduce(F&& f, Join&& join) {
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

template <class Index, class Kernel>
__global__ void elements_kernel(Kernel kernel, std::int64_t n) {
  run_thread<Index>(kernel, n, gridDim.x, blockIdx.x, threadIdx.x);
}

/// Indices have 32 bits where that suffices.
template <class Kernel>
void run_elements(const Cuda&, const char* name, const Kernel& kernel) {
  const std::int64_t n = kernel.size();
  if (n == 0) return;
  const auto grid = static_cast<unsigned>(blocks(n));
  hypersd::detail::launch(name, {grid, threads},
                          narrow(n) ? elements_kernel<std::uint32_t, Kernel> : elements_kernel<std::int64_t, Kernel>,
                          kernel, n);
}

/// Minimum of resident thread blocks a multiprocessor (occupancy), which limits the registers: `Kernel::resident`, or 0
/// for no limit.
template <class Kernel>
constexpr int resident_blocks() {
  if constexpr (requires { Kernel::resident; })
    return Kernel::resident;
  else
    return 0;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, resident_blocks<Kernel>()) block_kernel(Kernel kernel) {
  __shared__ double scratch[Kernel::threads / 32];
  __shared__ typename Kernel::Shared shared;
  CudaBlock<Kernel::threads> block(scratch);
  for (std::int64_t i = blockIdx.x; i < kernel.blocks(); i += gridDim.x) kernel(block, i, shared);
}

template <class Kernel>
void run_blocks(const Cuda&, const char* name, const Kernel& kernel) {
  const std::int64_t n = kernel.blocks();
  if (n == 0) return;
  constexpr std::int64_t most = 1 << 20;
  hypersd::detail::launch(name, {static_cast<unsigned>(n < most ? n : most), Kernel::threads}, block_kernel<Kernel>,
                          kernel);
}

}  // namespace hypersd::ops::launch
