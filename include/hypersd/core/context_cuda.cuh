// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error_cuda.cuh>
#include <memory>
#include <vector>

namespace hypersd {

/// What a host thread has asked of its GPU since it began, work recorded in graphs left out.
struct CudaCounts {
  std::int64_t launches = 0;          ///< kernels of this library (those of cuBLAS are not counted)
  std::int64_t graphs = 0;            ///< graphs launched
  std::int64_t synchronisations = 0;  ///< times the host waited for the GPU
  std::int64_t uploads = 0;           ///< copies from the host
  std::int64_t downloads = 0;         ///< copies to the host
};

namespace detail {

/// A capture in progress, and later the graph that came of it with the memory that lives as long: tensors that the work
/// allocated and left behind share it.
struct CapturedGraph : std::enable_shared_from_this<CapturedGraph> {
  CapturedGraph() = default;
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  ~CapturedGraph() {
    // Memory that the work left behind exists from the first launch on and is not freed with the graph.
    if (launched)
      for (void* p : left) (void)cudaFreeAsync(p, stream);
    if (exec) (void)cudaGraphExecDestroy(exec);
  }

  cudaStream_t stream = nullptr;  ///< that of the capture, later that of the last launch
  cudaGraphExec_t exec = nullptr;
  bool launched = false;
  std::vector<void*> left;                  ///< allocated by the work, not freed by it
  std::vector<std::shared_ptr<void>> kept;  ///< allocated before and let go by the work: its kernels may read it
};

/// The capture that this thread is in, or null. Trivially destructible, since memory may be freed after any object of
/// the thread has ended.
inline CapturedGraph*& current_capture() {
  thread_local CapturedGraph* capture = nullptr;
  return capture;
}

/// Throws DeviceError unless this thread's GPU exists and is as new as the code.
inline void require_device() {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess || count == 0) {
    (void)cudaGetLastError();
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    fail<DeviceError>("no usable CUDA device (", found == cudaSuccess ? "none found" : cudaGetErrorString(found),
                      "): needed are a GPU of compute capability ",
                      capability_text(compiled_capabilities[0] / 100, compiled_capabilities[0] / 10 % 10),
                      " or newer and a driver for CUDA ", CUDART_VERSION / 1000, ".", CUDART_VERSION / 10 % 100,
                      "; the driver here is for CUDA ", driver / 1000, ".", driver / 10 % 100, " (0.0: none)");
  }
  int device = 0;
  cuda_check(cudaGetDevice(&device), "cudaGetDevice");
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  const int capability = 100 * properties.major + 10 * properties.minor;
  require<DeviceError>(capability >= compiled_capabilities[0], "CUDA device ", device, ", ", properties.name,
                       ", is too old: it has compute capability ", capability_text(properties.major, properties.minor),
                       ", the program was compiled for ", compiled_for());
}

/// What one host thread needs on its current device: a stream and a cuBLAS handle bound to it. Everything the library
/// enqueues from a thread is ordered on that thread's stream.
class CudaContext {
 public:
  /// Throws DeviceError, at the thread's first use, where there is no usable device.
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

  [[nodiscard]] CudaCounts& counts() { return counts_; }

  /// Waits for everything enqueued: the only way in which the library waits. Throws DeviceError naming `op`, also in
  /// work that is being captured, which cannot wait.
  void synchronise(const char* op) {
    require_eager(op, "waits for the GPU");
    ++counts_.synchronisations;
    cuda_check(cudaStreamSynchronize(stream_), op);
  }
  /// Throws DeviceError in work that is being captured.
  static void require_eager(const char* op, const char* what) {
    require<DeviceError>(current_capture() == nullptr, op, ": ", what, ", which the work of a graph must not");
  }

  /// Whether each launch is waited for, so that a kernel's error carries its operation's name. Off, except in builds
  /// with nvcc -G.
  void check_kernels(bool on) { check_kernels_ = on; }
  /// After each launch of a kernel of `op`.
  void launched(const char* op) {
    cuda_check(cudaGetLastError(), op);
    if (current_capture()) return;
    ++counts_.launches;
    check_now(op);
  }
  /// After each product of cuBLAS.
  void enqueued(const char* op) {
    if (!current_capture()) check_now(op);
  }
  void launched_graph(const char* op) {
    ++counts_.graphs;
    check_now(op);
  }

 private:
  CudaContext() { require_device(); }
  void check_now(const char* op) {
    if (check_kernels_) synchronise(op);
  }

  struct Destroy {
    void operator()(cublasHandle_t h) const { (void)cublasDestroy(h); }
  };
  cudaStream_t stream_ = cudaStreamPerThread;
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
  CudaCounts counts_;
#if defined(__CUDACC_DEBUG__)
  bool check_kernels_ = true;
#else
  bool check_kernels_ = false;
#endif
};

/// Blocks and threads of a launch, and bytes of shared memory that the kernel sizes at run time.
struct LaunchSize {
  dim3 grid, block;
  std::size_t shared = 0;
};

/// Loads a kernel, which else happens at its first launch and may allocate: not as a part of a capture.
inline void load_for_capture(const char* op, const void* kernel) {
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  cuda_check(cudaThreadExchangeStreamCaptureMode(&mode), op);
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
  cuda_check(cudaThreadExchangeStreamCaptureMode(&mode), op);
  cuda_check(status, op);
}

/// Enqueues `kernel(args...)` on the thread's stream: every kernel of the library starts here. Throws DeviceError
/// naming `op`.
template <class... P, class... A>
void launch(const char* op, const LaunchSize& size, void (*kernel)(P...), const A&... args) {
  static_assert(sizeof...(P) == sizeof...(A));
  CudaContext& context = CudaContext::current();
  if (current_capture()) load_for_capture(op, reinterpret_cast<const void*>(kernel));
  kernel<<<size.grid, size.block, size.shared, context.stream()>>>(args...);
  context.launched(op);
}

}  // namespace detail

/// The calling thread's counts: their difference shows what a piece of code has launched, copied and waited for.
inline CudaCounts cuda_counts() { return detail::CudaContext::current().counts(); }

/// From now on each kernel that this thread launches is waited for, so that an error in it is thrown by its own
/// operation and not by a later one; off again with false. On from the start in builds with nvcc -G.
inline void check_cuda_kernels(bool on) { detail::CudaContext::current().check_kernels(on); }

}  // namespace hypersd
