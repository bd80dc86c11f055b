// SPDX-License-Identifier: Apache-2.0
// cuBLAS and cuBLASLt: handles, descriptions, and products; those of cuBLASLt are executed where kernels are.
#include <cublasLt.h>
#include <cublas_v2.h>

#include <cstring>
#include <fake_cuda/product.hpp>
#include <stdexcept>

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

cublasStatus_t product(cudaStream_t stream, const void* a, const void* b, const void* c,
                       std::function<cudaError_t()> work = {}) {
  if (device().runs_kernels && !work) throw std::logic_error("only products of cuBLASLt are executed");
  const cudaError_t status = enqueue(stream, cudaGraphNodeTypeKernel, [=, work = std::move(work)] {
    for (const void* p : {a, b, c})
      if (!behind(p, 1)) return refuse(cudaErrorInvalidValue, "product of memory that is not allocated");
    ++state().counts.products;
    return work && device().runs_kernels ? work() : cudaSuccess;
  });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

/// What this cuBLASLt keeps in a description's opaque bytes.
template <class X, class Opaque>
X kept_in(const Opaque* from) {
  static_assert(sizeof(X) <= sizeof(*from->data) * (sizeof(from->data) / sizeof(*from->data)));
  X out;
  std::memcpy(&out, from->data, sizeof(X));
  return out;
}
template <class X, class Opaque>
void keep_in(Opaque* to, const X& x) {
  std::memcpy(to->data, &x, sizeof(X));
}
template <class Field>
void put(Field& field, const void* value, std::size_t size) {
  if (size != sizeof(Field)) throw std::logic_error("an attribute of another size");
  std::memcpy(&field, value, size);
}
double scalar(const void* p, cudaDataType_t type) {
  double wide = 0;
  float narrow = 0;
  if (type == CUDA_R_64F)
    std::memcpy(&wide, p, sizeof(wide));
  else
    std::memcpy(&narrow, p, sizeof(narrow));
  return type == CUDA_R_64F ? wide : static_cast<double>(narrow);
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
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t d, std::size_t, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
  keep_in(d, Product{compute, scale, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t compute, cudaDataType_t scale) {
  const cublasStatus_t status = describe(d);
  return status == CUBLAS_STATUS_SUCCESS ? cublasLtMatmulDescInit_internal(*d, sizeof(**d), compute, scale) : status;
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t l, std::size_t, cudaDataType type,
                                                 std::uint64_t rows, std::uint64_t cols, std::int64_t lead) {
  keep_in(l, Matrix{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols), lead, 0, 1});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return destroy(d); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what,
                                              const void* value, std::size_t size) {
  auto p = kept_in<Product>(d);
  switch (what) {
    case CUBLASLT_MATMUL_DESC_TRANSA: put(p.transpose_a, value, size); break;
    case CUBLASLT_MATMUL_DESC_TRANSB: put(p.transpose_b, value, size); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: put(p.epilogue, value, size); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: put(p.bias, value, size); break;
    default: return CUBLAS_STATUS_INVALID_VALUE;
  }
  keep_in(d, p);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* l, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t cols, std::int64_t lead) {
  const cublasStatus_t status = describe(l);
  return status == CUBLAS_STATUS_SUCCESS ? cublasLtMatrixLayoutInit_internal(*l, sizeof(**l), type, rows, cols, lead)
                                         : status;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return destroy(l); }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t what,
                                                const void* value, std::size_t size) {
  auto m = kept_in<Matrix>(l);
  switch (what) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: put(m.batch, value, size); break;
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: put(m.stride, value, size); break;
    default: return CUBLAS_STATUS_INVALID_VALUE;
  }
  keep_in(l, m);
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
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t of_a, const void* b, cublasLtMatrixLayout_t of_b, const void* beta,
                              const void* c, cublasLtMatrixLayout_t, void* out, cublasLtMatrixLayout_t of_out,
                              const cublasLtMatmulAlgo_t*, void*, std::size_t, cudaStream_t stream) {
  const auto p = kept_in<Product>(d);
  if (c != out) return CUBLAS_STATUS_NOT_SUPPORTED;  // by this one
  return product(
      stream, a, b, out,
      [=, x = scalar(alpha, p.scale), y = scalar(beta, p.scale), ma = kept_in<Matrix>(of_a), mb = kept_in<Matrix>(of_b),
       md = kept_in<Matrix>(of_out)] { return multiply(p, x, ma, a, mb, b, y, md, out); });
}

}  // extern "C"
