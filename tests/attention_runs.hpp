// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/attention.hpp>
#include <narrow.hpp>

/// \file
/// Attention of 16-bit tensors, where tensor cores do it, against float.

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
  add({1, 130, 77, 1, 40}), add({1, 7, 200, 3, 16}), add({1, 64, 2, 1, 64}), add({3, 1, 64, 1, 8});
  return worst;
}

}  // namespace attention_runs
