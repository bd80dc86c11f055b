// SPDX-License-Identifier: Apache-2.0
// Launches, streams, events and errors.
#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <fake_cuda/state.hpp>

namespace fake_cuda {

State& state() {
  static State* s = [] {  // kernels are registered before and freed after everything else
    auto* out = new State;
    out->device.runs_kernels = std::getenv("FAKE_CUDA_RUNS_KERNELS") != nullptr;
    out->device.backward = std::getenv("FAKE_CUDA_BACKWARD") != nullptr;
    return out;
  }();
  return *s;
}
Device& device() { return state().device; }
Counts counts() { return state().counts; }
const std::vector<std::string>& kernels() { return state().kernels; }
const std::vector<std::string>& faults() { return state().faults; }
const std::map<std::string, Metered>& metered() { return state().metered; }
void reset() {
  State& s = state();
  s.counts = {};
  s.kernels.clear();
  s.faults.clear();
  s.metered.clear();
  s.failing.clear();
  s.last = s.pending = cudaSuccess;
}
std::int64_t objects() { return state().objects; }
void fail_kernels(std::string part) { state().failing = std::move(part); }

cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) state().last = status;
  return status;
}
cudaError_t refuse(cudaError_t status, const std::string& fault) {
  state().faults.push_back(fault);
  return result(status);
}
CUstream_st& at(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread ? state().ordinary : *stream;
}
bool breaks_capture(const char* call) {
  State& s = state();
  if (!s.capturing) return false;
  s.capturing->invalid = true;
  (void)refuse(cudaErrorStreamCaptureUnsupported, std::string(call) + " in a capture");
  return true;
}
cudaError_t enqueue(cudaStream_t stream, cudaGraphNodeType type, std::function<cudaError_t()> work) {
  State& s = state();
  CUstream_st& on = at(stream);
  if (on.capture) {
    on.capture->nodes.push_back(std::make_unique<CUgraphNode_st>(CUgraphNode_st{type, std::move(work)}));
    return cudaSuccess;
  }
  if (s.capturing) s.faults.emplace_back("work on another stream in a capture");
  return result(work());
}

namespace {

std::string demangled(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string out = status == 0 ? text : name;
  std::free(text);
  return out;
}

struct Configuration {
  dim3 grid, block;
  std::size_t shared;
  cudaStream_t stream;
};
std::vector<Configuration> configurations;

cudaError_t launch(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                   cudaStream_t stream) {
  State& s = state();
  const auto found = s.names.find(kernel);
  if (found == s.names.end()) return refuse(cudaErrorInvalidDeviceFunction, "launch of an unknown kernel");
  if (!device().runs_program) return result(cudaErrorNoKernelImageForDevice);
  const std::string& name = found->second;
  const auto threads = std::uint64_t{block.x} * block.y * block.z;
  const bool fits = grid.x >= 1 && grid.x <= 2147483647U && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                    grid.z <= 65535 && threads >= 1 && threads <= 1024 && block.z <= 64 && shared <= 227U * 1024;
  if (!fits) return refuse(cudaErrorInvalidConfiguration, name + ": launch out of bounds");
  std::function<cudaError_t()> work;
  if (device().runs_kernels) work = running(kernel, grid, block, arguments, shared);
  return enqueue(stream, cudaGraphNodeTypeKernel, [&s, &name, work = std::move(work)] {
    ++s.counts.kernels;
    s.kernels.push_back(name);
    if (!s.failing.empty() && name.find(s.failing) != std::string::npos) s.pending = cudaErrorIllegalAddress;
    if (work && s.pending == cudaSuccess) s.pending = work();
    return cudaSuccess;
  });
}

cudaError_t wait(const char* call) {
  State& s = state();
  if (breaks_capture(call)) return cudaErrorStreamCaptureUnsupported;
  ++s.counts.synchronisations;
  const cudaError_t status = s.pending;
  s.pending = cudaSuccess;
  return result(status);
}

}  // namespace

}  // namespace fake_cuda

using namespace fake_cuda;

extern "C" {

void** __cudaRegisterFatBinary(void* binary) { return static_cast<void**>(binary); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterFunction(void** binary, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  state().names[host] = demangled(name);
  remember(host, binary, name);
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  const Configuration c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *static_cast<cudaStream_t*>(stream) = c.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** args, std::size_t shared,
                               cudaStream_t stream) {
  return launch(kernel, grid, block, args, shared, stream);
}
cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void** args, std::size_t shared,
                                    cudaStream_t stream) {
  return __cudaLaunchKernel(kernel, grid, block, args, shared, stream);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** args, std::size_t shared,
                             cudaStream_t stream) {
  return launch(kernel, grid, block, args, shared, stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* kernel, void** args) {
  return launch(kernel, c->gridDim, c->blockDim, args, c->dynamicSmemBytes, c->stream);
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  static cudaStreamCaptureMode current = cudaStreamCaptureModeThreadLocal;
  std::swap(*mode, current);
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute what, int value) {
  if (what == cudaFuncAttributeMaxDynamicSharedMemorySize) allow_shared(kernel, static_cast<std::size_t>(value));
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, const void*) {
  *out = {};
  out->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* out, const void*, int, std::size_t) {
  *out = 2;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* out, const void*, int, std::size_t, unsigned) {
  *out = 2;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t out = state().last;
  state().last = cudaSuccess;
  return out;
}
cudaError_t cudaPeekAtLastError() { return state().last; }
const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    default: return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorNoDevice ? "no CUDA-capable device is detected" : cudaGetErrorName(status);
}

cudaError_t cudaGetDeviceCount(int* n) {
  *n = device().present ? 1 : 0;
  return result(device().present ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* d) {
  *d = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::strcpy(p->name, "Stand-in GPU");
  p->major = device().major;
  p->minor = device().minor;
  p->totalGlobalMem = device().memory;
  p->multiProcessorCount = 132;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr what, int) {
  switch (what) {
    case cudaDevAttrComputeCapabilityMajor: *value = device().major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = device().minor; break;
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 * 1024; break;
    case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
    default: *value = 0;
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* v) {
  *v = device().present ? CUDART_VERSION : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  ++state().objects;
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream->capture) state().faults.emplace_back("a stream is destroyed while it is captured");
  delete stream;
  --state().objects;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return wait("cudaStreamSynchronize"); }
cudaError_t cudaDeviceSynchronize() { return wait("cudaDeviceSynchronize"); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return wait("cudaEventSynchronize"); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  ++state().objects;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  --state().objects;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return enqueue(stream, cudaGraphNodeTypeEventRecord, [event] {
    const Counts& c = state().counts;
    event->work = c.kernels + c.products + c.convolutions + c.copies;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t, unsigned) {
  return enqueue(stream, cudaGraphNodeTypeWaitEvent, [] { return cudaSuccess; });
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
/// A kernel, product, convolution or copy takes a millisecond.
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t begin, cudaEvent_t end) {
  *ms = static_cast<float>(end->work - begin->work);
  return cudaSuccess;
}

}  // extern "C"
