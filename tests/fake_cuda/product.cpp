// SPDX-License-Identifier: Apache-2.0
// Products that are executed, as cuBLASLt's documentation defines them.
#include <bit>
#include <cstring>
#include <fake_cuda/product.hpp>
#include <hypersd/core/half.hpp>

namespace fake_cuda {

namespace {

std::size_t size_of(cudaDataType_t type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

double load(const char* p, cudaDataType_t type) {
  const auto as = [&]<class T>(T x) {
    std::memcpy(static_cast<void*>(&x), p, sizeof(T));
    return x;
  };
  switch (type) {
    case CUDA_R_64F: return as(double());
    case CUDA_R_32F: return static_cast<double>(as(float()));
    case CUDA_R_16BF: return static_cast<double>(static_cast<float>(as(hypersd::bfloat16())));
    default: return static_cast<double>(static_cast<float>(as(hypersd::half())));
  }
}
void store(char* p, cudaDataType_t type, double x) {
  const auto put = [&](auto v) { std::memcpy(p, &v, sizeof(v)); };
  switch (type) {
    case CUDA_R_64F: return put(x);
    case CUDA_R_32F: return put(static_cast<float>(x));
    case CUDA_R_16BF: return put(hypersd::bfloat16(static_cast<float>(x)));
    default: return put(hypersd::half(static_cast<float>(x)));
  }
}
/// Rounded to the ten bits that TF32 keeps.
double tf32(double x) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
  return static_cast<double>(std::bit_cast<float>((bits + 0x1000U) & ~0x1fffU));
}

/// Host memory of a matrix or a batch of them; null if it is not all allocated.
char* memory(const Matrix& m, const void* at) {
  const std::int64_t elements = (m.batch - 1) * m.stride + (m.cols - 1) * m.lead + m.rows;
  return behind(at, static_cast<std::size_t>(elements) * size_of(m.type));
}
double element(const Matrix& m, const char* from, std::int64_t batch, std::int64_t row, std::int64_t col) {
  return load(from + static_cast<std::size_t>(batch * m.stride + col * m.lead + row) * size_of(m.type), m.type);
}

const char* wrong(const Product& p, const Matrix& a, const Matrix& b, const Matrix& d, std::int64_t k,
                  std::int64_t other_k) {
  if (k != other_k || d.rows != (p.transpose_a != 0 ? a.cols : a.rows) ||
      d.cols != (p.transpose_b != 0 ? b.rows : b.cols))
    return "sizes that do not fit";
  if (a.batch != b.batch || a.batch != d.batch) return "batches that do not fit";
  for (const Matrix* m : {&a, &b, &d})
    if (m->lead < m->rows || m->type != a.type) return "a leading dimension or a type that does not fit";
  const bool wide = a.type == CUDA_R_64F;
  if ((p.compute == CUBLAS_COMPUTE_64F) != wide || (p.scale == CUDA_R_64F) != wide) return "types that do not fit";
  if (a.type != CUDA_R_32F && p.compute == CUBLAS_COMPUTE_32F_FAST_TF32) return "TF32 of factors that are not float";
  if (p.epilogue != CUBLASLT_EPILOGUE_DEFAULT && (p.epilogue != CUBLASLT_EPILOGUE_BIAS || wide))
    return "an epilogue that is not known here, or of doubles";
  return nullptr;
}

}  // namespace

cudaError_t multiply(const Product& p, double alpha, const Matrix& a, const void* at_a, const Matrix& b,
                     const void* at_b, double beta, const Matrix& d, void* at_d) {
  const bool ta = p.transpose_a != 0, tb = p.transpose_b != 0;
  const std::int64_t k = ta ? a.rows : a.cols, other_k = tb ? b.cols : b.rows;
  if (const char* what = wrong(p, a, b, d, k, other_k))
    return refuse(cudaErrorInvalidValue, "product: " + std::string(what));
  const char *from_a = memory(a, at_a), *from_b = memory(b, at_b);
  char* to = memory(d, at_d);
  const bool biased = p.epilogue == CUBLASLT_EPILOGUE_BIAS;
  const char* bias = biased ? behind(p.bias, static_cast<std::size_t>(d.rows) * size_of(d.type)) : nullptr;
  if (!from_a || !from_b || !to || (biased && !bias))
    return refuse(cudaErrorInvalidValue, "product of memory that is not allocated");
  const auto factor = [&](double x) { return p.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? tf32(x) : x; };
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::int64_t col = 0; col < d.cols; ++col)
      for (std::int64_t row = 0; row < d.rows; ++row) {
        double sum = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          sum += factor(element(a, from_a, n, ta ? i : row, ta ? row : i)) *
                 factor(element(b, from_b, n, tb ? col : i, tb ? i : col));
          if (p.compute != CUBLAS_COMPUTE_64F) sum = static_cast<double>(static_cast<float>(sum));
        }
        sum *= alpha;
        if (beta != 0) sum += beta * element(d, to, n, row, col);
        if (bias) sum += load(bias + static_cast<std::size_t>(row) * size_of(d.type), d.type);
        store(to + static_cast<std::size_t>(n * d.stride + col * d.lead + row) * size_of(d.type), d.type, sum);
      }
  return cudaSuccess;
}

}  // namespace fake_cuda
