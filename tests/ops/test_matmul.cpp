// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/matmul.hpp>
//
#include <doctest/doctest.h>
#include <cmath>

#include <each_instruction_set.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/linear.hpp>
#include <limits>
#include <numbers.hpp>
#include <optional>

using namespace hypersd;
using numbers::normal;

namespace {

Tensor<double> product(const Tensor<double>& a, bool ta, const Tensor<double>& b, bool tb) {
  const std::int64_t m = a.dim(ta ? 1 : 0), k = a.dim(ta ? 0 : 1), n = b.dim(tb ? 0 : 1);
  auto c = Tensor<double>::zeros({m, n});
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t p = 0; p < k; ++p)
        c[i * n + j] += a[ta ? p * m + i : i * k + p] * b[tb ? j * k + p : p * n + j];
  return c;
}

}  // namespace

TEST_CASE("Matmuls with every transposition equal the definition") {
  struct Size {
    std::int64_t m, n, k;
  };
  // The last one goes through the slabs of the summed axis.
  for (const Size s : {Size{1, 1, 1}, Size{3, 5, 7}, Size{33, 17, 1}, Size{70, 20, 30}, Size{6, 5, 1100}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const auto a = normal(ta ? Shape{s.k, s.m} : Shape{s.m, s.k}, "a");
        const auto b = normal(tb ? Shape{s.n, s.k} : Shape{s.k, s.n}, "b");
        const auto expected = product(a, ta, b, tb);
        CHECK(numbers::distance(ops::matmul(a, b, ta, tb), expected) < 1e-11);
        const auto c = expected.clone();
        ops::gemm(c, a, ta, b, tb, -2.0, 1.0);  // c = expected - 2 expected
        for (std::int64_t i = 0; i < c.size(); ++i) REQUIRE(c[i] == doctest::Approx(-expected[i]).epsilon(1e-10));
      }
    }
  }
}

TEST_CASE_TEMPLATE("Every kernel computes the matmul, with the same bits for any number of threads", T, float, double) {
  struct Size {
    std::int64_t m, n, k;
  };
  // Whole and incomplete tiles of every kernel, dot products, several blocks of each axis, slabs of the summed axis.
  for (const Size s : {Size{1, 7, 33}, Size{7, 17, 15}, Size{9, 3, 100}, Size{57, 35, 300}, Size{6, 5, 2100},
                       Size{197, 129, 20}, Size{4, 130, 2050}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const auto a = normal<T>(ta ? Shape{s.k, s.m} : Shape{s.m, s.k}, "a");
        const auto b = normal<T>(tb ? Shape{s.n, s.k} : Shape{s.k, s.n}, "b");
        const auto start = normal<T>({s.m, s.n}, "c");
        auto expected = product(ops::cast<double>(a), ta, ops::cast<double>(b), tb);
        for (std::int64_t i = 0; i < expected.size(); ++i)
          expected[i] = static_cast<double>(start[i]) - 1.5 * expected[i];
        const double bound = 4 * std::numeric_limits<T>::epsilon() * static_cast<double>(s.k + 16);
        for_each_instruction_set([&](InstructionSet) {
          const auto result = [&] {
            const auto c = start.clone();
            ops::gemm(c, a, ta, b, tb, T(-1.5), T(1));
            return c;
          };
          REQUIRE(numbers::distance(result(), expected) < bound);
          REQUIRE(numbers::same_for_any_threads(result));
        });
      }
    }
  }
}

TEST_CASE("Kernels of different widths give the same bits") {
  const auto a = normal<float>({50, 520}, "a"), b = normal<float>({40, 520}, "b");
  const auto few = normal<float>({3, 520}, "few");
  std::optional<Tensor<float>> whole, dots;
  for_each_instruction_set([&](InstructionSet set) {
    if (set == InstructionSet::portable) return;  // may round products before adding them
    const auto c = ops::matmul(a, b, false, true), d = ops::matmul(few, b, false, true);
    if (whole) CHECK(numbers::distance(c, *whole) == 0);
    if (dots) CHECK(numbers::distance(d, *dots) == 0);
    whole = c;
    dots = d;
  });
}

TEST_CASE_TEMPLATE("Transposition of any number of rows writes nothing else", T, float, double) {
  for_each_instruction_set([&](InstructionSet) {
    for (const int height : {1, 3, 4, 6, 7, 8, 14, 16, 32}) {
      for (const auto& [count, gap] : {std::pair{1, 3}, {3, 0}, {4, 3}, {8, 0}, {13, 0}, {13, 3}}) {
        const std::int64_t step = height + gap;
        const auto x = normal<T>({height, count}, "x");
        const auto y = Tensor<T>::full({count + 1, step}, T(7));
        std::vector<const T*> rows;
        for (int r = 0; r < height; ++r) rows.push_back(x.data() + r * count);
        ops::backend::transpose(rows.data(), height, count, y.data(), step);
        std::int64_t wrong = 0;
        for (std::int64_t p = 0; p <= count; ++p)
          for (std::int64_t r = 0; r < step; ++r)
            wrong += y[p * step + r] != (p < count && r < height ? x[r * count + p] : T(7)) ? 1 : 0;
        REQUIRE(wrong == 0);
      }
    }
  });
}

TEST_CASE("NaN and infinity stay in their rows and columns") {
  const double inf = std::numeric_limits<double>::infinity();
  for_each_instruction_set([&](InstructionSet) {
    for (const std::int64_t rows : {5, 21}) {  // dot products and tiles, both with unused lanes
      const auto a = Tensor<double>::ones({rows, 19}), b = Tensor<double>::ones({23, 19});
      a[2 * 19 + 18] = inf;
      b[22 * 19 + 1] = std::nan("");
      b[3 * 19 + 18] = 0;
      const auto c = ops::matmul(a, b, false, true);
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < 23; ++j) {
          const double x = c[i * 23 + j];
          if (j == 22 || (i == 2 && j == 3))
            CHECK(std::isnan(x));
          else
            CHECK(x == (i == 2 ? inf : j == 3 ? 18 : 19));
        }
      }
    }
  });
}

TEST_CASE("A matmul over no columns is 0, and one without rows is empty") {
  for_each_instruction_set([&](InstructionSet) {
    { const auto used = Tensor<float>::full({5, 4}, 7); }  // the pool hands this memory out again
    const auto c = ops::matmul(Tensor<float>(Shape{5, 0}), Tensor<float>(Shape{0, 4}));
    for (std::int64_t i = 0; i < c.size(); ++i) CHECK(c[i] == 0);
    CHECK(ops::matmul(Tensor<float>(Shape{0, 3}), Tensor<float>(Shape{3, 4})).size() == 0);
  });
}

TEST_CASE("A batched matmul is a matmul of each matrix") {
  const auto a = normal({3, 4, 6}, "a"), b = normal({3, 5, 6}, "b");
  const Tensor<double> c(Shape{3, 4, 5});
  ops::batched_gemm(c, a, false, b, true);
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(numbers::distance(
              c.slice(i, i + 1).reshape({4, 5}),
              product(a.slice(i, i + 1).reshape({4, 6}), false, b.slice(i, i + 1).reshape({5, 6}), true)) < 1e-12);
}

TEST_CASE("linear with an activation is the activation of linear") {
  const auto x = normal({6, 4}, "x"), w = normal({5, 4}, "w"), bias = normal({5}, "bias");
  const auto y = ops::linear(x, w, bias), z = ops::linear(x, w, bias, ops::Silu{});
  for (std::int64_t i = 0; i < y.size(); ++i) CHECK(z[i] == doctest::Approx(y[i] / (1 + std::exp(-y[i]))));
}

TEST_CASE_TEMPLATE("linear over no columns is its bias, whatever was in memory", T, double, float, bfloat16) {
  const auto bias = ops::cast<T>(numbers::normal({5}, "b"));
  for (const bool biased : {true, false}) {
    { const auto used = Tensor<T>::full(Shape{4, 5}, T(7.0F)); }  // the pool hands this memory out again
    const auto y = ops::linear(Tensor<T>(Shape{4, 0}), Tensor<T>(Shape{5, 0}), biased ? bias : Tensor<T>{});
    for (std::int64_t i = 0; i < y.size(); ++i)
      CHECK(static_cast<float>(y[i]) == (biased ? static_cast<float>(bias[i % 5]) : 0.0F));
  }
}

TEST_CASE("linear is x W^T + b for any leading axes") {
  const auto x = normal({2, 3, 4}, "x"), w = normal({5, 4}, "w"), bias = normal({5}, "b");
  const auto y = ops::linear(x, w, bias);
  CHECK(y.shape() == Shape{2, 3, 5});
  const auto flat = product(x.reshape({6, 4}), false, w, true);
  for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y[i] == doctest::Approx(flat[i] + bias[i % 5]));
  CHECK(numbers::distance(ops::linear(x, w, Tensor<double>{}).reshape({6, 5}), flat) < 1e-12);
  // Few rows, many weights: divided by columns.
  const auto few = normal({7, 1200}, "f"), large = normal({250, 1200}, "l"), shift = normal({250}, "s");
  const auto expected = product(few, false, large, true), got = ops::linear(few, large, shift);
  for (std::int64_t i = 0; i < got.size(); ++i)
    REQUIRE(got[i] == doctest::Approx(expected[i] + shift[i % 250]).epsilon(1e-10));
}

TEST_CASE("Matmuls are bitwise the same for any number of threads") {
  const auto a = normal<float>({300, 70}, "a"), b = normal<float>({90, 70}, "b");
  const auto tall = normal<float>({5000, 12}, "t"), wide = normal<float>({5000, 9}, "w");
  CHECK(numbers::same_for_any_threads([&] { return ops::matmul(a, b, false, true); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::matmul(tall, wide, true, false); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::linear(a, b, Tensor<float>{}); }));
  const auto few = normal<float>({7, 1200}, "f"), large = normal<float>({250, 1200}, "l");
  CHECK(numbers::same_for_any_threads([&] { return ops::linear(few, large, Tensor<float>{}); }));
}

TEST_CASE("Shapes that do not match are all named") {
  const auto a = normal({2, 3}, "a"), b = normal({4, 5}, "b");
  CHECK_THROWS_WITH_AS(ops::matmul(a, b), "gemm: [2, 3] x [4, 5] -> [2, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::matmul(a, b, true, true), "gemm: [2, 3]^T x [4, 5]^T -> [3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::matmul(a, normal({3}, "b")), "matmul: [2, 3] x [3]: not matrices", ShapeError);
  CHECK_THROWS_WITH_AS(
      ops::batched_gemm(normal({2, 2, 2}, "c"), normal({2, 2, 3}, "a"), false, normal({3, 3, 2}, "b"), false),
      "batched_gemm: [2, 2, 3] x [3, 3, 2] -> [2, 2, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::linear(a, b, Tensor<double>{}), "linear: input [2, 3] and weight [4, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::linear(a, normal({4, 3}, "w"), normal({3}, "b")), "linear: bias [3] for weight [4, 3]",
                       ShapeError);
}
