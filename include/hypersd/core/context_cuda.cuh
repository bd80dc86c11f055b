// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error_cuda.cuh>
#include <memory>
#include <vector>

namespace hypersd {

/// Calls of one host thread to its GPU since the thread started, without those that were captured in graphs.
struct CudaCounts {
  std::int64_t launches = 0;          ///< kernels of this library (those of cuBLAS are not counted)
  std::int64_t graphs = 0;            ///< graphs launched
  std::int64_t synchronisations = 0;  ///< times the host synchronized with the GPU
  std::int64_t uploads = 0;           ///< copies from the host
  std::int64_t downloads = 0;         ///< copies to the host
};

namespace detail {

/// A capture in progress, then the instantiated graph with the memory that it owns. Tensors that outlive the captured
/// work share it.
struct CapturedGraph : std::enable_shared_from_this<CapturedGraph> {
  CapturedGraph() = default;
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  ~CapturedGraph() {
    // Memory that outlives the work exists from the first launch on and is not freed with the graph.
    if (launched)
      for (void* p : left) (void)cudaFreeAsync(p, stream);
    if (exec) (void)cudaGraphExecDestroy(exec);
  }

  cudaStream_t stream = nullptr;  ///< of the capture, later of the last launch
  cudaGraphExec_t exec = nullptr;
  bool launched = false;
  std::vector<void*> left;                  ///< allocated by the work, not freed by it
  std::vector<std::shared_ptr<void>> kept;  ///< allocated before, freed by the work: its kernels may read it
};

/// The capture in progress on this thread, or null. Trivially destructible, since memory may be freed after the
/// thread's other objects are destroyed. Thread-local.
inline CapturedGraph*& current_capture() {
  thread_local CapturedGraph* capture = nullptr;
  return capture;
}

/// Throws DeviceError unless this thread's GPU exists and has a compute capability that the code supports.
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
  int device = 0, major = 0, minor = 0;
  cuda_check(cudaGetDevice(&device), "cudaGetDevice");
  cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  cuda_check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  if (100 * major + 10 * minor >= compiled_capabilities[0]) return;
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  fail<DeviceError>("CUDA device ", device, ", ", properties.name, ", is too old: it has compute capability ",
                    capability_text(major, minor), ", the program was compiled for ", compiled_for());
}

/// A host thread's stream and cuBLAS handle on its current device. All work that the library enqueues from a thread is
/// ordered on that thread's stream. Thread-local: one object for each thread, used by that thread only.
class CudaContext {
 public:
  /// Throws DeviceError at the thread's first use if no usable device is available.
  static CudaContext& current() {
    thread_local CudaContext context;
    return context;
  }

  [[nodiscard]] cudaStream_t stream() const { return stream_; }
  /// Enqueues on `stream` from now on (the caller's own, or one under capture), which the caller keeps alive.
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

  /// Synchronizes with the stream; the library synchronizes nowhere else. Throws DeviceError naming `op`, also during
  /// capture, where that is not possible.
  void synchronise(const char* op) {
    require_eager(op, "waits for the GPU");
    ++counts_.synchronisations;
    cuda_check(cudaStreamSynchronize(stream_), op);
  }
  /// Throws DeviceError during capture.
  static void require_eager(const char* op, const char* what) {
    require<DeviceError>(current_capture() == nullptr, op, ": ", what, ", not possible in the work of a graph");
  }

  /// Whether to synchronize after each launch, so that a kernel's error names its operation. Off by default, except in
  /// builds with nvcc -G.
  void check_kernels(bool on) { check_kernels_ = on; }
  /// After each launch of a kernel of `op`.
  void launched(const char* op) {
    cuda_check(cudaGetLastError(), op);
    if (current_capture()) return;
    ++counts_.launches;
    check_now(op);
  }
  /// After each matmul of cuBLAS.
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

/// Grid, thread block and dynamic shared memory (bytes) of a launch.
struct LaunchSize {
  dim3 grid, block;
  std::size_t shared = 0;
};

/// Loads a kernel. Otherwise its first launch does, and may allocate, which is not possible during capture.
inline void load_for_capture(const char* op, const void* kernel) {
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  cuda_check(cudaThreadExchangeStreamCaptureMode(&mode), op);
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
  cuda_check(cudaThreadExchangeStreamCaptureMode(&mode), op);
  cuda_check(status, op);
}

/// Enqueues `kernel(args...)` on the thread's stream; all kernels of the library are launched here. Throws DeviceError
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

/// The calling thread's counts. Differences show the launches, copies and synchronizations of a piece of code.
inline CudaCounts cuda_counts() { return detail::CudaContext::current().counts(); }

/// Switches synchronization after each kernel of this thread on or off. With it a kernel's error is thrown by its own
/// operation and not by a later one. On by default in builds with nvcc -G.
inline void check_cuda_kernels(bool on) { detail::CudaContext::current().check_kernels(on); }

}  // namespace hypersd
