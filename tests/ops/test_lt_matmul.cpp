// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cuda/lt_matmul.hpp>
//
#include <doctest/doctest.h>

#include <array>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/random.hpp>
#include <numbers.hpp>
#include <utility>
#include <vector>

using namespace hypersd;
using namespace hypersd::ops;

namespace {

/// What cuBLASLt documents: column-major matrices, result = alpha op(first) op(second) + beta result + bias by row.
void column_major_matmul(const LtMatmul& p, double alpha, const double* first, const double* second, double beta,
                         double* result, const double* bias) {
  const auto at = [](const LtLayout& m, const double* data, std::int64_t b, std::int64_t r, std::int64_t c) {
    if (m.transposed) std::swap(r, c);
    REQUIRE(r < m.rows);
    REQUIRE(c < m.cols);
    REQUIRE(m.ld >= m.rows);
    return data[b * m.stride + r + c * m.ld];
  };
  const std::int64_t inner = p.a.transposed ? p.a.rows : p.a.cols;
  REQUIRE(inner == (p.b.transposed ? p.b.cols : p.b.rows));
  for (std::int64_t b = 0; b < p.batch; ++b)
    for (std::int64_t c = 0; c < p.c.cols; ++c)
      for (std::int64_t r = 0; r < p.c.rows; ++r) {
        double& out = result[b * p.c.stride + r + c * p.c.ld];
        double sum = 0;
        for (std::int64_t i = 0; i < inner; ++i) sum += at(p.a, first, b, r, i) * at(p.b, second, b, i, c);
        out = alpha * sum + (beta != 0 ? beta * out : 0) + (bias ? bias[r] : 0);
      }
}

}  // namespace

TEST_CASE("a product as cuBLASLt is told it is the library's own, for all transposes, ragged sizes and batches") {
  for (const bool trans_a : {false, true})
    for (const bool trans_b : {false, true})
      for (const std::int64_t batch : {1, 3})
        for (const auto& size : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1}, {5, 7, 3}, {8, 2, 11}, {1, 9, 4}}) {
          const std::int64_t m = size[0], n = size[1], k = size[2];
          CAPTURE(trans_a);
          CAPTURE(trans_b);
          CAPTURE(batch);
          CAPTURE(m);
          CAPTURE(n);
          CAPTURE(k);
          const auto a = numbers::normal<double>(trans_a ? Shape{batch, k, m} : Shape{batch, m, k}, "a");
          const auto b = numbers::normal<double>(trans_b ? Shape{batch, n, k} : Shape{batch, k, n}, "b");
          const auto start = numbers::normal<double>(Shape{batch, m, n}, "c");
          for (const double beta : {0.0, 1.0}) {
            const auto expected = start.clone(), got = start.clone();
            batched_gemm(expected, a, trans_a, b, trans_b, 0.5, beta);
            const auto p = lt_matmul(batch, {m, n, k, trans_a, trans_b}, a.dim(2), b.dim(2), n);
            column_major_matmul(p, 0.5, b.data(), a.data(), beta, got.data(), nullptr);
            CHECK(numbers::distance(got, expected) < 1e-13);
          }
        }
}

TEST_CASE("its bias is that of a linear layer") {
  const std::int64_t m = 6, n = 5, k = 4;
  const auto x = numbers::normal<double>({m, k}, "x"), w = numbers::normal<double>({n, k}, "w");
  const auto bias = numbers::normal<double>({n}, "bias");
  const Tensor<double> got(Shape{m, n});
  const auto p = lt_matmul(1, {m, n, k, false, true}, k, k, n);
  CHECK(p.c.rows == bias.size());
  column_major_matmul(p, 1, w.data(), x.data(), 0, got.data(), bias.data());
  CHECK(numbers::distance(got, linear(x, w, bias)) < 1e-13);
}

TEST_CASE("a part of a matrix goes by its row stride") {
  const auto a = numbers::normal<double>({4, 9}, "a"), b = numbers::normal<double>({3, 7}, "b");
  const auto got = Tensor<double>::zeros(Shape{4, 8}), expected = Tensor<double>::zeros(Shape{4, 5});
  // The left 4 x 3 of a, the left 3 x 5 of b, into the left 4 x 5 of got.
  column_major_matmul(lt_matmul(1, {4, 5, 3, false, false}, 9, 7, 8), 1, b.data(), a.data(), 0, got.data(), nullptr);
  backend::gemm(Cpu{}, {4, 5, 3, false, false}, 1.0, a.data(), 9, b.data(), 7, 0.0, expected.data(), 5);
  for (std::int64_t r = 0; r < 4; ++r)
    for (std::int64_t c = 0; c < 8; ++c) CHECK(got[8 * r + c] == doctest::Approx(c < 5 ? expected[5 * r + c] : 0.0));
}

TEST_CASE("sizes beyond 32 bits are refused with all of them") {
  CHECK_THROWS_WITH_AS((void)lt_matmul(1, {std::int64_t{1} << 31, 2, 3}, 3, 2, 2),
                       doctest::Contains("[2147483648, 3] x [3, 2]"), ShapeError);
  CHECK_THROWS_AS((void)lt_matmul(1, {2, 2, 3}, std::int64_t{1} << 32, 2, 2), ShapeError);
}
