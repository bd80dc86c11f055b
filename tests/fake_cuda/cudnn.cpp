// SPDX-License-Identifier: Apache-2.0
// cuDNN: handles, descriptions, and convolutions that are only written down.
#include <cudnn.h>

#include <fake_cuda/state.hpp>

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {};
struct cudnnFilterStruct {};
struct cudnnConvolutionStruct {
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

using namespace fake_cuda;

namespace {

template <class X>
cudnnStatus_t create(X** out) {
  *out = new X{};
  ++state().objects;
  return CUDNN_STATUS_SUCCESS;
}
template <class X>
cudnnStatus_t destroy(const X* x) {
  delete x;
  --state().objects;
  return CUDNN_STATUS_SUCCESS;
}

/// Two ways: one that changes its bits from run to run, which must not be taken, and one with a workspace.
template <class Found>
cudnnStatus_t ways(const cudnnConvolutionStruct* conv, int asked, int* count, Found* found) {
  *count = asked < 2 ? asked : 2;
  for (int i = 0; i < *count; ++i) {
    found[i] = {};
    found[i].algo = static_cast<decltype(found[i].algo)>(i);
    found[i].determinism = i == 0 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
    found[i].memory = 1024;
    found[i].mathType = conv->math;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t convolve(cudnnHandle_t h, int algorithm, const void* a, const void* b, const void* c, const void* space,
                       std::size_t size) {
  const cudaError_t status = enqueue(h->stream, cudaGraphNodeTypeKernel, [=] {
    if (algorithm != 1) return refuse(cudaErrorInvalidValue, "an algorithm that does not repeat its bits");
    for (const void* p : {a, b, c})
      if (!behind(p, 1)) return refuse(cudaErrorInvalidValue, "convolution of memory that is not allocated");
    if (!behind(space, size)) return refuse(cudaErrorInvalidValue, "workspace that is not allocated");
    ++state().counts.convolutions;
    return cudaSuccess;
  });
  return status == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

}  // namespace

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* h) {
  return breaks_capture("cudnnCreate") ? CUDNN_STATUS_INTERNAL_ERROR : create(h);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { return destroy(h); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream) {
  h->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
const char* cudnnGetErrorString(cudnnStatus_t) { return "a status of the stand-in cuDNN"; }

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) { return create(d); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t, cudnnTensorFormat_t, cudnnDataType_t, int, int, int,
                                         int) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) { return create(d); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t, cudnnDataType_t, cudnnTensorFormat_t, int, int, int,
                                         int) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* d) { return create(d); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t, int, int, int, int, int, int,
                                              cudnnConvolutionMode_t, cudnnDataType_t) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math) {
  d->math = math;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                     const cudnnFilterDescriptor_t,
                                                     const cudnnConvolutionDescriptor_t conv,
                                                     const cudnnTensorDescriptor_t, const int asked, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* found) {
  return ways(conv, asked, count, found);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, const cudnnFilterDescriptor_t,
                                                          const cudnnTensorDescriptor_t,
                                                          const cudnnConvolutionDescriptor_t conv,
                                                          const cudnnTensorDescriptor_t, const int asked, int* count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* found) {
  return ways(conv, asked, count, found);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                            const cudnnTensorDescriptor_t,
                                                            const cudnnConvolutionDescriptor_t conv,
                                                            const cudnnFilterDescriptor_t, const int asked, int* count,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* found) {
  return ways(conv, asked, count, found);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void*, const cudnnTensorDescriptor_t, const void* x,
                                      const cudnnFilterDescriptor_t, const void* w, const cudnnConvolutionDescriptor_t,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* space, std::size_t size, const void*,
                                      const cudnnTensorDescriptor_t, void* y) {
  return convolve(h, algorithm, x, w, y, space, size);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void*, const cudnnFilterDescriptor_t, const void* w,
                                           const cudnnTensorDescriptor_t, const void* gy,
                                           const cudnnConvolutionDescriptor_t, cudnnConvolutionBwdDataAlgo_t algorithm,
                                           void* space, std::size_t size, const void*, const cudnnTensorDescriptor_t,
                                           void* gx) {
  return convolve(h, algorithm, w, gy, gx, space, size);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void*, const cudnnTensorDescriptor_t, const void* x,
                                             const cudnnTensorDescriptor_t, const void* gy,
                                             const cudnnConvolutionDescriptor_t,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* space, std::size_t size,
                                             const void*, const cudnnFilterDescriptor_t, void* gw) {
  return convolve(h, algorithm, x, gy, gw, space, size);
}

}  // extern "C"
