// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <hypersd/core/error.hpp>
#include <string>

namespace hypersd::detail {

/// Text of a compute capability: "8.0".
inline std::string capability_text(int major, int minor) {
  std::string out = std::to_string(major);
  out += '.';
  out += std::to_string(minor);
  return out;
}

/// Compute capabilities that this translation unit was compiled for, times 100, rising.
#if defined(__CUDA_ARCH_LIST__)
inline constexpr int compiled_capabilities[] = {__CUDA_ARCH_LIST__};
#else  // clang does not say
inline constexpr int compiled_capabilities[] = {800};
#endif

/// "8.0, 9.0".
inline std::string compiled_for() {
  std::string out;
  for (const int c : compiled_capabilities) {
    if (!out.empty()) out += ", ";
    out += capability_text(c / 100, c / 10 % 10);
  }
  return out;
}

/// Throws DeviceError naming `op` unless `status` is success.
inline void cuda_check(cudaError_t status, const char* op) {
  if (status == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();  // else the next operation would report it again
  if (status == cudaErrorNoKernelImageForDevice)
    fail<DeviceError>(op, ": this GPU cannot run what was compiled for compute capability ", compiled_for(),
                      "; compile for it with nvcc -arch=native");
  fail<DeviceError>(op, ": CUDA error ", cudaGetErrorName(status), ": ", cudaGetErrorString(status));
}

inline void cublas_check(cublasStatus_t status, const char* op) {
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
    fail<DeviceError>(op, ": cuBLAS error ", cublasGetStatusName(status));
}

}  // namespace hypersd::detail
