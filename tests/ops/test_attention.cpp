// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/attention.hpp>
//
#include <doctest/doctest.h>

#include <each_instruction_set.hpp>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

/// The definition, in double; also the logarithms of the rows' sums.
template <class T>
ops::AttentionResult<double, Cpu> attention(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                                            std::int64_t heads, bool causal) {
  const std::int64_t batch = q.dim(0), n = q.dim(1), m = k.dim(1), channels = q.dim(2), dim = channels / heads;
  auto y = Tensor<double>::zeros(q.shape());
  const Tensor<double> log_sum(Shape{batch, heads, n});
  for (std::int64_t r = 0; r < batch * heads * n; ++r) {
    const std::int64_t i = r % n, h = r / n % heads, b = r / n / heads;
    std::vector<double> p;
    double total = 0;
    for (std::int64_t j = 0; j < (causal ? i + 1 : m); ++j) {
      double s = 0;
      for (std::int64_t d = 0; d < dim; ++d)
        s += static_cast<double>(q[(b * n + i) * channels + h * dim + d]) *
             static_cast<double>(k[(b * m + j) * channels + h * dim + d]);
      p.push_back(std::exp(s / std::sqrt(static_cast<double>(dim))));
      total += p.back();
    }
    for (std::size_t j = 0; j < p.size(); ++j)
      for (std::int64_t d = 0; d < dim; ++d)
        y[(b * n + i) * channels + h * dim + d] +=
            p[j] / total * static_cast<double>(v[(b * m + static_cast<std::int64_t>(j)) * channels + h * dim + d]);
    log_sum[r] = std::log(total);
  }
  return {y, log_sum};
}

}  // namespace

TEST_CASE("Attention equals its definition for every tile, block and remainder") {
  struct Size {
    std::int64_t batch, n, m, dim, heads;
  };
  for (const Size s : {Size{2, 16, 16, 8, 4}, Size{2, 4, 4, 8, 2}, Size{1, 7, 3, 5, 2}, Size{1, 65, 130, 12, 1},
                       Size{3, 64, 1, 8, 2}, Size{1, 1, 77, 13, 2}, Size{2, 20, 2, 3, 3}, Size{1, 100, 64, 40, 1},
                       Size{1, 17, 203, 15, 1}, Size{2, 130, 97, 12, 2}}) {
    const auto q = normal({s.batch, s.n, s.dim * s.heads}, "q");
    const auto k = normal({s.batch, s.m, s.dim * s.heads}, "k"), v = normal({s.batch, s.m, s.dim * s.heads}, "v");
    const auto expected = attention(q, k, v, s.heads, false);
    const auto qf = q.cast<float>(), kf = k.cast<float>(), vf = v.cast<float>();
    for_each_instruction_set([&](InstructionSet) {
      const auto got = ops::attention(q, k, v, s.heads);
      CHECK(numbers::distance(got.y, expected.y) < 1e-13);
      if (s.m > 1) CHECK(numbers::distance(got.log_sum, expected.log_sum) < 1e-12);
      CHECK(numbers::distance(ops::attention(qf, kf, vf, s.heads).y, expected.y) < 2e-6);
    });
  }
}

TEST_CASE("Causal attention sees no later key") {
  for (const std::int64_t n : {1, 5, 16, 17, 77, 150}) {
    const auto q = normal({2, n, 12}, "q"), k = normal({2, n, 12}, "k"), v = normal({2, n, 12}, "v");
    CHECK(numbers::distance(ops::attention(q, k, v, 2, true).y, attention(q, k, v, 2, true).y) < 1e-13);
    CHECK(numbers::distance(ops::attention(q.cast<float>(), k.cast<float>(), v.cast<float>(), 2, true).y,
                            attention(q, k, v, 2, true).y) < 2e-6);
  }
}

TEST_CASE("Attention of different vector widths gives the same bits, forward and backward") {
  const auto q = normal<float>({2, 50, 30}, "q"), k = normal<float>({2, 117, 30}, "k"),
             v = normal<float>({2, 117, 30}, "v"), gy = normal<float>({2, 50, 30}, "gy");
  std::vector<std::vector<float>> first;
  for_each_instruction_set([&](InstructionSet set) {
    const auto forward = ops::attention(q, k, v, 2);
    const auto g = ops::attention_gradient(gy, q, k, v, forward, 2);
    const std::vector<std::vector<float>> all{forward.y.to_vector(), g.q.to_vector(), g.k.to_vector(), g.v.to_vector()};
    if (set == InstructionSet::portable) {  // may round products before adding them
      first = all;
      return;
    }
    if (set == InstructionSet::avx512) CHECK(all == first);
    for (std::size_t i = 0; i < all.size(); ++i)
      for (std::size_t e = 0; e < all[i].size(); ++e) REQUIRE(all[i][e] == doctest::Approx(first[i][e]).epsilon(1e-4));
    first = all;
  });
}

TEST_CASE("A query or key with NaN makes NaN of what it reaches") {
  for_each_instruction_set([&](InstructionSet) {
    const auto q = normal<float>({1, 20, 8}, "q"), k = normal<float>({1, 30, 8}, "k"),
               v = normal<float>({1, 30, 8}, "v");
    q[7 * 8 + 2] = std::nanf("");
    const auto y = ops::attention(q, k, v, 1).y;
    for (std::int64_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i / 8 == 7));
    k[11 * 8] = std::nanf("");
    for (const float x : ops::attention(q, k, v, 1).y.to_vector()) CHECK(std::isnan(x));
  });
}

TEST_CASE("Large scores do not overflow") {
  auto q = normal<float>({1, 40, 8}, "q"), k = normal<float>({1, 200, 8}, "k");
  const auto v = normal<float>({1, 200, 8}, "v");
  for (float& x : q.span()) x *= 100;
  for (float& x : k.span()) x *= 100;
  const auto y = ops::attention(q, k, v, 1).y;
  // Almost a lookup: each row is the value of the best key.
  double worst = 0;
  for (std::int64_t i = 0; i < 40; ++i) {
    std::int64_t best = 0;
    double top = -1e300;
    for (std::int64_t j = 0; j < 200; ++j) {
      double s = 0;
      for (std::int64_t d = 0; d < 8; ++d) s += static_cast<double>(q[i * 8 + d]) * static_cast<double>(k[j * 8 + d]);
      if (s > top) best = j;
      top = std::max(top, s);
    }
    for (std::int64_t d = 0; d < 8; ++d)
      worst = std::max(worst, static_cast<double>(std::abs(y[i * 8 + d] - v[best * 8 + d])));
  }
  CHECK(worst < 1e-5);
}

TEST_CASE("Attention and its gradient are the same bits for any number of threads") {
  const auto q = normal<float>({3, 90, 32}, "q"), k = normal<float>({3, 70, 32}, "k"),
             v = normal<float>({3, 70, 32}, "v"), gy = normal<float>({3, 90, 32}, "gy");
  const auto f = ops::attention(q, k, v, 4);
  CHECK(numbers::same_for_any_threads([&] { return ops::attention(q, k, v, 4).y; }));
  CHECK(numbers::same_for_any_threads([&] { return ops::attention_gradient(gy, q, k, v, f, 4).q; }));
  CHECK(numbers::same_for_any_threads([&] { return ops::attention_gradient(gy, q, k, v, f, 4).k; }));
}

TEST_CASE("Mismatched shapes throw and are all named") {
  const auto q = normal({2, 3, 8}, "q"), k = normal({2, 5, 8}, "k");
  CHECK_THROWS_WITH_AS(ops::attention(q, k, normal({2, 4, 8}, "v"), 2),
                       "attention: queries [2, 3, 8], keys [2, 5, 8] and values [2, 4, 8] do not match", ShapeError);
  CHECK_THROWS_WITH_AS(ops::attention(q, k, k, 3), "attention: queries [2, 3, 8] cannot be split into 3 heads",
                       ShapeError);
  CHECK_THROWS_WITH_AS(
      ops::attention(q, k, k, 2, true),
      "attention: causal attention needs as many keys as queries, not queries [2, 3, 8] and keys [2, 5, 8]",
      ShapeError);
  CHECK(
      ops::attention(Tensor<double>(Shape{0, 3, 8}), Tensor<double>(Shape{0, 5, 8}), Tensor<double>(Shape{0, 5, 8}), 2)
          .y.size() == 0);
}
