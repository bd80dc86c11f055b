// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <fake_cuda/state.hpp>

namespace fake_cuda {

/// A matrix as cuBLASLt describes it, column by column.
struct Matrix {
  cudaDataType_t type;
  std::int64_t rows, cols, lead, stride;
  std::int32_t batch;
};
/// D = alpha op(A) op(B) + beta C, plus a bias of D's rows.
struct Product {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  std::int32_t transpose_a, transpose_b, epilogue;
  const void* bias;
};

/// Does it, or says what is wrong with it: sizes that do not fit, memory that is not allocated or not aligned, types
/// that cuBLASLt does not take together.
cudaError_t multiply(const Product& p, double alpha, const Matrix& a, const void* at_a, const Matrix& b,
                     const void* at_b, double beta, const Matrix& d, void* at_d);

}  // namespace fake_cuda
