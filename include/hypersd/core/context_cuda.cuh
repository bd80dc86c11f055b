// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/error_cuda.cuh>
#include <memory>

namespace hypersd::detail {

/// What one host thread needs on its current device: a stream and a cuBLAS handle bound to it. Everything the library
/// enqueues from a thread is ordered on that thread's stream.
class CudaContext {
 public:
  static CudaContext& current() {
    thread_local CudaContext context;
    return context;
  }

  [[nodiscard]] cudaStream_t stream() const { return stream_; }
  /// Uses `stream` from now on (a caller's own, or one under graph capture); the caller keeps it alive.
  void use(cudaStream_t stream) {
    stream_ = stream;
    if (handle_) cublas_check(cublasSetStream(handle_.get(), stream_), "cublasSetStream");
  }
  cublasHandle_t cublas() {
    if (!handle_) {
      cublasHandle_t raw = nullptr;
      cublas_check(cublasCreate(&raw), "cublasCreate");
      handle_.reset(raw);
      cublas_check(cublasSetStream(handle_.get(), stream_), "cublasSetStream");
    }
    return handle_.get();
  }

 private:
  struct Destroy {
    void operator()(cublasHandle_t h) const { (void)cublasDestroy(h); }
  };
  cudaStream_t stream_ = cudaStreamPerThread;
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
};

}  // namespace hypersd::detail
