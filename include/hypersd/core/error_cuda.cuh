// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <hypersd/core/error.hpp>

namespace hypersd::detail {

/// Throws DeviceError naming `op` unless `status` is success.
inline void cuda_check(cudaError_t status, const char* op) {
  if (status != cudaSuccess) [[unlikely]] {
    (void)cudaGetLastError();  // the sticky error must not surface again at the next, innocent operation
    fail<DeviceError>(op, ": CUDA error ", cudaGetErrorName(status), ": ", cudaGetErrorString(status));
  }
}

inline void cublas_check(cublasStatus_t status, const char* op) {
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
    fail<DeviceError>(op, ": cuBLAS error ", cublasGetStatusName(status));
}

}  // namespace hypersd::detail
