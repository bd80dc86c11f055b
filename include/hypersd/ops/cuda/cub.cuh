// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thrust/execution_policy.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>
#include <cstdint>
#include <hypersd/core/storage_cuda.cuh>

/// \file
/// Calls of the device-wide algorithms of CUB and Thrust (https://nvidia.github.io/cccl). Thrust gives the iterators
/// and the permutations, CUB what would synchronize in Thrust (a selection whose length the host must know).

namespace hypersd::ops::backend {

/// While alive, a capture of this thread permits calls that load kernels.
class RelaxedCapture {
 public:
  RelaxedCapture() { exchange(); }
  ~RelaxedCapture() { exchange(); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  void exchange() {
    if (hypersd::detail::current_capture()) (void)cudaThreadExchangeStreamCaptureMode(&mode_);
  }
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

/// Enqueues algorithm(temporary memory, its bytes, stream) on the thread's stream. A first call with a null pointer
/// sets the bytes, as in all device-wide algorithms of CUB. Throws DeviceError naming `op`.
template <class F>
void run_cub(const char* op, F&& algorithm) {
  auto& context = hypersd::detail::CudaContext::current();
  std::size_t bytes = 0;
  {
    const RelaxedCapture relaxed;
    hypersd::detail::cuda_check(algorithm(nullptr, bytes, context.stream()), op);
  }
  const auto temporary = Memory<Cuda>::allocate(bytes);
  {
    const RelaxedCapture relaxed;
    hypersd::detail::cuda_check(algorithm(temporary.get(), bytes, context.stream()), op);
  }
  context.launched(op);
}

/// Calls algorithm(policy) with the policy by which algorithms of Thrust are enqueued on the thread's stream without
/// synchronization. Throws DeviceError naming `op`.
template <class F>
void run_thrust(const char* op, F&& algorithm) {
  auto& context = hypersd::detail::CudaContext::current();
  try {
    const RelaxedCapture relaxed;
    algorithm(thrust::cuda::par_nosync.on(context.stream()));
  } catch (const thrust::system_error& error) {
    fail<DeviceError>(op, ": ", error.what());
  }
  context.launched(op);
}

/// scale (i modulo `period`) as a function of i.
struct Repeated {
  std::int32_t period, scale;
  HYPERSD_HD std::int32_t operator()(std::int32_t i) const { return i % period * scale; }
};

}  // namespace hypersd::ops::backend
