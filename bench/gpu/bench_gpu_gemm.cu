// SPDX-License-Identifier: Apache-2.0
/// Matmuls of the library against direct calls of cuBLASLt, in float32, TF32 and bfloat16, at sizes of Stable Diffusion
/// 1.5 (two images). The second factor is transposed, as in a linear layer.

#include <cublasLt.h>

#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/tf32.hpp>
#include <memory>
#include <string>
#include <type_traits>

#include "timing.hpp"

using namespace hypersd;

namespace {

void check(cublasStatus_t status) { hypersd::detail::cublas_check(status, "raw cuBLASLt"); }

/// C [m, n] = A [m, k] B [n, k]^T (+ bias [n]) in the terms of cuBLASLt, C^T = B A^T in column-major order, with the
/// first algorithm of its heuristics for a workspace of 32 MiB.
class RawProduct {
 public:
  RawProduct(std::int64_t m, std::int64_t n, std::int64_t k, cudaDataType_t type, cublasComputeType_t compute,
             const void* bias)
      : workspace_(Memory<Cuda>::allocate(most)) {
    check(cublasLtCreate(&handle_));
    check(cublasLtMatmulDescCreate(&product_, compute, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    if (bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    const auto rows = static_cast<std::uint64_t>(m), cols = static_cast<std::uint64_t>(n);
    check(cublasLtMatrixLayoutCreate(&b_, type, static_cast<std::uint64_t>(k), cols, k));
    check(cublasLtMatrixLayoutCreate(&a_, type, static_cast<std::uint64_t>(k), rows, k));
    check(cublasLtMatrixLayoutCreate(&c_, type, cols, rows, n));
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference));
    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                               sizeof(most)));
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle_, product_, b_, a_, c_, c_, preference, 1, &best_, &found));
    check(cublasLtMatmulPreferenceDestroy(preference));
    check(found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED);
  }
  RawProduct(const RawProduct&) = delete;
  RawProduct& operator=(const RawProduct&) = delete;
  ~RawProduct() {
    for (const cublasLtMatrixLayout_t layout : {a_, b_, c_}) (void)cublasLtMatrixLayoutDestroy(layout);
    (void)cublasLtMatmulDescDestroy(product_);
    (void)cublasLtDestroy(handle_);
  }

  void operator()(const void* a, const void* b, void* c) const {
    const float one = 1, zero = 0;
    check(cublasLtMatmul(handle_, product_, &one, b, b_, a, a_, &zero, c, c_, c, c_, &best_.algo, workspace_.get(),
                         most, hypersd::detail::CudaContext::current().stream()));
  }

 private:
  static constexpr std::size_t most = std::size_t{32} << 20;
  template <class X>
  void set(cublasLtMatmulDescAttributes_t what, X value) {
    check(cublasLtMatmulDescSetAttribute(product_, what, &value, sizeof(value)));
  }

  std::shared_ptr<void> workspace_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, c_ = nullptr;
  cublasLtMatmulHeuristicResult_t best_{};
};

template <class T>
void measure(const std::string& type, std::int64_t m, std::int64_t n, std::int64_t k, bool with_bias = false) {
  using Matrix = Tensor<T, Cuda>;
  const bool tf32 = type == "tf32";
  const ops::AllowTf32 policy(tf32);
  const auto a = Matrix::full({m, k}, T(0.125F)), b = Matrix::full({n, k}, T(0.125F)),
             c = Matrix::full({m, n}, T(0.0F));
  const auto bias = with_bias ? Matrix::full(Shape{n}, T(0.5F)) : Matrix{};
  const RawProduct raw(m, n, k, std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_16BF,
                       tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, bias.data());
  const double ms = bench::milliseconds([&] {
    if (with_bias)
      (void)ops::linear(a, b, bias);
    else
      ops::gemm(c, a, false, b, true);
  });
  const double limit = bench::milliseconds([&] { raw(a.data(), b.data(), c.data()); });
  const std::string name = std::string(with_bias ? "gemm_bias_" : "gemm_") + type + "_" + std::to_string(m) + "x" +
                           std::to_string(n) + "x" + std::to_string(k);
  bench::print(name.c_str(), ms, "raw cuBLASLt", limit);
}

struct Size {
  std::int64_t m, n, k;
};

}  // namespace

int main() {
  if (!bench::have_device("gemm")) return 77;
  // A large square; projections and both layers of a gated feed-forward at 64 x 64, projections further down, text.
  for (const auto [m, n, k] :
       {Size{4096, 4096, 4096}, Size{8192, 320, 320}, Size{8192, 2560, 320}, Size{8192, 320, 1280},
        Size{2048, 640, 640}, Size{512, 1280, 1280}, Size{154, 320, 768}}) {
    measure<float>("float32", m, n, k);
    measure<float>("tf32", m, n, k);
    measure<bfloat16>("bfloat16", m, n, k);
    measure<bfloat16>("bfloat16", m, n, k, true);
  }
}
