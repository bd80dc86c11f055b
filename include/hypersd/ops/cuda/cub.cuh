// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/storage_cuda.cuh>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/kernels.cuh>

/// \file
/// Calls of the device-wide algorithms of CUB (https://nvidia.github.io/cccl/cub).

namespace hypersd::ops::launch {

/// out[i] = scale (i modulo `period`).
struct SequenceElements {
  std::int32_t* out;
  std::int64_t count, period, scale;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return count; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    out[i] = static_cast<std::int32_t>(divide(i, period).rest) * static_cast<std::int32_t>(scale);
  }
};

}  // namespace hypersd::ops::launch

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

/// The numbers scale (i modulo `period`) for i in [0, count) on the device.
inline Tensor<std::int32_t, Cuda> sequence(const char* op, std::int64_t count, std::int64_t period,
                                           std::int64_t scale = 1) {
  const Tensor<std::int32_t, Cuda> out(Shape{count});
  run_elements(Cuda{}, op, launch::SequenceElements{out.data(), count, period, scale});
  return out;
}

}  // namespace hypersd::ops::backend
