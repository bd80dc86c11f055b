// SPDX-License-Identifier: Apache-2.0
// cuBLAS and cuBLASLt: handles, descriptions, and products that are only written down.
#include <cublasLt.h>
#include <cublas_v2.h>

#include <fake_cuda/state.hpp>

struct cublasContext {
  cudaStream_t stream = nullptr;
};
struct cublasLtContext {};

using namespace fake_cuda;

namespace {

template <class X>
cublasStatus_t create(X** out, const char* call) {
  if (breaks_capture(call)) return CUBLAS_STATUS_INTERNAL_ERROR;
  *out = new X{};
  ++state().objects;
  return CUBLAS_STATUS_SUCCESS;
}
template <class X>
cublasStatus_t destroy(const X* x) {
  delete x;
  --state().objects;
  return CUBLAS_STATUS_SUCCESS;
}
/// Descriptions are host memory: nothing is wrong with them in a capture.
template <class X>
cublasStatus_t describe(X** out) {
  *out = new X{};
  ++state().objects;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t product(cudaStream_t stream, const void* a, const void* b, const void* c) {
  const cudaError_t status = enqueue(stream, cudaGraphNodeTypeKernel, [=] {
    for (const void* p : {a, b, c})
      if (!behind(p, 1)) return refuse(cudaErrorInvalidValue, "product of memory that is not allocated");
    ++state().counts.products;
    return cudaSuccess;
  });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* h) { return create(h, "cublasCreate"); }
cublasStatus_t cublasDestroy_v2(cublasHandle_t h) { return destroy(h); }
cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t stream) {
  h->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, std::size_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS"; }
const char* cublasGetStatusString(cublasStatus_t) { return "a status of the stand-in cuBLAS"; }

cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t, cublasOperation_t, int, int, int, const float*,
                              const float* a, int, const float* b, int, const float*, float* c, int) {
  return product(h->stream, a, b, c);
}
cublasStatus_t cublasDgemm_v2(cublasHandle_t h, cublasOperation_t, cublasOperation_t, int, int, int, const double*,
                              const double* a, int, const double* b, int, const double*, double* c, int) {
  return product(h->stream, a, b, c);
}
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t, cublasOperation_t, int, int, int,
                                         const float*, const float* a, int, long long, const float* b, int, long long,
                                         const float*, float* c, int, long long, int) {
  return product(h->stream, a, b, c);
}
cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t h, cublasOperation_t, cublasOperation_t, int, int, int,
                                         const double*, const double* a, int, long long, const double* b, int,
                                         long long, const double*, double* c, int, long long, int) {
  return product(h->stream, a, b, c);
}
cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                            const void* a, cudaDataType, int, const void* b, cudaDataType, int, const void*, void* c,
                            cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t) {
  return product(h->stream, a, b, c);
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t, cublasOperation_t, int, int, int,
                                          const void*, const void* a, cudaDataType, int, long long, const void* b,
                                          cudaDataType, int, long long, const void*, void* c, cudaDataType, int,
                                          long long, int, cublasComputeType_t, cublasGemmAlgo_t) {
  return product(h->stream, a, b, c);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* h) { return create(h, "cublasLtCreate"); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return destroy(h); }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t, cudaDataType_t) {
  return describe(d);
}
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t, std::size_t, cublasComputeType_t, cudaDataType_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t, std::size_t, cudaDataType, std::uint64_t,
                                                 std::uint64_t, std::int64_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return destroy(d); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void*,
                                              std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* l, cudaDataType, std::uint64_t, std::uint64_t,
                                          std::int64_t) {
  return describe(l);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return destroy(l); }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t, cublasLtMatrixLayoutAttribute_t, const void*,
                                                std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* p) { return describe(p); }
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { return destroy(p); }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
/// One way of doing it, which needs no workspace.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int asked,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = asked > 0 ? 1 : 0;
  if (asked > 0) {
    results[0] = {};
    results[0].state = CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t, const void*, const void* a,
                              cublasLtMatrixLayout_t, const void* b, cublasLtMatrixLayout_t, const void*, const void*,
                              cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t*,
                              void*, std::size_t, cudaStream_t stream) {
  return product(stream, a, b, d);
}

}  // extern "C"
