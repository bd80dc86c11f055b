// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/attention.hpp>
#include <narrow.hpp>
#include <vector>

/// \file
/// Attention of 16-bit tensors and its gradients, where tensor cores do them, against float and double.

namespace attention_runs {

using namespace narrow;

struct Sizes {
  std::int64_t batch, queries, keys, heads, dim;
  bool causal = false;
};

/// Largest error of a 16-bit result on device D over what rounding the weights and the result once can do: a roundoff
/// of the same mean of |values|, and one of the result. NaN wins.
template <class T, class D>
double excess(const Sizes& s) {
  const Shape of_queries{s.batch, s.queries, s.heads * s.dim}, of_keys{s.batch, s.keys, s.heads * s.dim};
  const auto attend = [&](auto in, auto&& values) {
    return ops::attention(in(of_queries, "q"), in(of_keys, "k"), values(in(of_keys, "v")), s.heads, s.causal);
  };
  const auto same = [](const auto& v) { return v; };
  const auto magnitudes = [](Tensor<float> v) {
    for (float& x : v.span()) x = std::abs(x);
    return v;
  };
  const auto want = attend(Inputs<T, float, Cpu>{}, same);
  const auto size = attend(Inputs<T, float, Cpu>{}, magnitudes).y;
  const auto got = attend(Inputs<T, T, D>{}, same);
  const auto y = result(got.y), log_sum = result(got.log_sum);
  double worst = 0;
  const auto count = [&](double error, double bound) { worst = numbers::worse(worst, error / bound); };
  for (std::int64_t i = 0; i < y.size(); ++i)
    count(std::abs(static_cast<double>(y[i]) - want.y[i]),
          roundoff<T> * (size[i] + std::abs(static_cast<double>(want.y[i]))) + 1e-6);
  for (std::int64_t i = 0; i < log_sum.size(); ++i)
    count(std::abs(static_cast<double>(log_sum[i]) - want.log_sum[i]), 4e-6);
  return worst;
}

/// The worst of all kernel widths, of part tiles of queries and keys, of few keys, and of causal attention.
template <class T, class D>
double worst_excess() {
  double worst = 0;
  const auto add = [&](const Sizes& s) {
    const double e = excess<T, D>(s);
    worst = numbers::worse(worst, e);
  };
  for (const std::int64_t dim : {8, 24, 40, 48, 64, 72, 96, 128, 160})
    for (const bool causal : {false, true}) add({2, 70, 70, 2, dim, causal});
  add({1, 130, 77, 1, 40}), add({1, 7, 270, 3, 16}), add({1, 64, 2, 1, 64}), add({3, 1, 64, 1, 8});
  add({1, 200, 200, 1, 80, true}), add({2, 33, 97, 1, 160});
  return worst;
}

/// One head of one sample in double: what rounding P, dS and the results once may change of its gradients.
template <class T>
class HeadGradient {
 public:
  struct Numbers {
    const float *q, *k, *v, *gy, *y;  ///< y as stored: the sum of gy y is part of the gradient
  };
  HeadGradient(const Sizes& s, const Numbers& x) : s_(s), x_(x) {
    for (std::int64_t i = 0; i < s.queries; ++i) add_query(i);
  }
  /// Error over bound of what device D gave, the rows of the same head.
  [[nodiscard]] double excess(const float* gq, const float* gk, const float* gv) const {
    double worst = 0;
    const auto count = [&](const std::vector<Sum>& want, const float* got) {
      for (std::size_t n = 0; n < want.size(); ++n) {
        const auto dim = static_cast<std::size_t>(s_.dim), at = n / dim * stride() + n % dim;
        const auto& [value, error] = want[n];
        const double bound = error + roundoff<T> * (std::abs(value) + error) + least + 1e-12;
        const double e = std::abs(static_cast<double>(got[at]) - value) / bound;
        worst = numbers::worse(worst, e);
      }
    };
    count(gq_, gq), count(gk_, gk), count(gv_, gv);
    return worst;
  }

 private:
  struct Sum {
    double value = 0, error = 0;
  };
  /// Half the distance of half's smallest numbers; bfloat16's are as small as those of float.
  static constexpr double least = std::same_as<T, hypersd::half> ? 0x1p-25 : 0;
  /// Relative errors of float sums, scores as exponents among them.
  static constexpr double in_float = 0x1p-16;

  [[nodiscard]] std::size_t stride() const { return static_cast<std::size_t>(s_.heads * s_.dim); }
  [[nodiscard]] double at(const float* x, std::int64_t row, std::int64_t d) const {
    return x[static_cast<std::size_t>(row) * stride() + static_cast<std::size_t>(d)];
  }
  static void add(Sum& to, double factor, double error, double x) {
    to.value += factor * x;
    to.error += error * std::abs(x);
  }
  void add_query(std::int64_t i) {
    const double scale = 1 / std::sqrt(static_cast<double>(s_.dim));
    const std::int64_t seen = s_.causal ? i + 1 : s_.keys;
    std::vector<double> p(static_cast<std::size_t>(seen));
    double total = 0, delta = 0, size_of_delta = 0;
    for (std::int64_t j = 0; j < seen; ++j) {
      double score = 0;
      for (std::int64_t d = 0; d < s_.dim; ++d) score += at(x_.q, i, d) * at(x_.k, j, d);
      total += p[static_cast<std::size_t>(j)] = std::exp(score * scale);
    }
    for (std::int64_t d = 0; d < s_.dim; ++d) {
      delta += at(x_.gy, i, d) * at(x_.y, i, d);
      size_of_delta += std::abs(at(x_.gy, i, d) * at(x_.y, i, d));
    }
    for (std::int64_t j = 0; j < seen; ++j) {
      const double weight = p[static_cast<std::size_t>(j)] / total;
      double dp = 0, size = size_of_delta;
      for (std::int64_t d = 0; d < s_.dim; ++d) {
        dp += at(x_.gy, i, d) * at(x_.v, j, d);
        size += std::abs(at(x_.gy, i, d) * at(x_.v, j, d));
      }
      const double ds = scale * weight * (dp - delta);
      const double of_weight = (roundoff<T> + in_float) * weight + least;
      const double of_ds = roundoff<T> * std::abs(ds) + scale * (in_float * weight * size + least);
      for (std::int64_t d = 0; d < s_.dim; ++d) {
        add(gq_[static_cast<std::size_t>(i * s_.dim + d)], ds, of_ds, at(x_.k, j, d));
        add(gk_[static_cast<std::size_t>(j * s_.dim + d)], ds, of_ds, at(x_.q, i, d));
        add(gv_[static_cast<std::size_t>(j * s_.dim + d)], weight, of_weight, at(x_.gy, i, d));
      }
    }
  }

  Sizes s_;
  Numbers x_;
  std::vector<Sum> gq_{static_cast<std::size_t>(s_.queries * s_.dim)}, gk_{static_cast<std::size_t>(s_.keys * s_.dim)},
      gv_{static_cast<std::size_t>(s_.keys * s_.dim)};
};

/// Largest error of the gradients of a 16-bit attention on device D over that of one rounding of P, dS and the result.
template <class T, class D>
double gradient_excess(const Sizes& s) {
  const Shape of_queries{s.batch, s.queries, s.heads * s.dim}, of_keys{s.batch, s.keys, s.heads * s.dim};
  const Inputs<T, T, D> in;
  const auto q = in(of_queries, "q"), k = in(of_keys, "k"), v = in(of_keys, "v"), gy = in(of_queries, "gy");
  const auto y = ops::attention(q, k, v, s.heads, s.causal);
  const auto g = ops::attention_gradient(gy, q, k, v, y, s.heads, s.causal);
  const Results x{result(q), result(k), result(v), result(gy), result(y.y), result(g.q), result(g.k), result(g.v)};
  double worst = 0;
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const auto head = [&](std::size_t n) { return x[n].data() + b * x[n].shape()[1] * x[n].shape()[2] + h * s.dim; };
      const HeadGradient<T> want(s, {head(0), head(1), head(2), head(3), head(4)});
      const double e = want.excess(head(5), head(6), head(7));
      worst = numbers::worse(worst, e);
    }
  return worst;
}

/// The worst of all kernel widths, causal and not, of ragged tiles, of more tiles than there are stages of shared
/// memory, and of few keys.
template <class T, class D>
double worst_gradient_excess() {
  double worst = 0;
  const auto add = [&](const Sizes& s) {
    const double e = gradient_excess<T, D>(s);
    worst = numbers::worse(worst, e);
  };
  for (const std::int64_t dim : {8, 24, 32, 40, 48, 64, 72, 80, 96, 128, 136, 160})
    for (const bool causal : {false, true}) add({1, 70, 70, 2, dim, causal});
  add({1, 130, 77, 1, 40}), add({1, 7, 270, 3, 16}), add({1, 270, 7, 1, 64}), add({1, 64, 2, 1, 64});
  add({1, 200, 200, 1, 80, true}), add({3, 1, 64, 1, 8}), add({2, 70, 1, 2, 40}), add({2, 33, 97, 1, 160});
  return worst;
}

}  // namespace attention_runs
