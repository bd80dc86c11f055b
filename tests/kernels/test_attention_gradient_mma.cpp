// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <attention_runs.hpp>
#include <cmath>

using namespace hypersd;
using namespace attention_runs;
using emulated::Kernels;

TEST_CASE_TEMPLATE("Gradients of attention on tensor cores: the error is that of rounding P, dS and results", T,
                   bfloat16, half) {
  CHECK(worst_gradient_excess<T, Kernels>() < 1);
}

namespace {

/// The gradients of attention of n queries and m keys as bits of T, and how many products of warps they took.
template <class T>
struct Run {
  std::vector<float> q, k, v;
  std::int64_t products;
};
template <class T>
Run<T> run(std::int64_t n, std::int64_t m, std::int64_t dim, bool causal) {
  const Inputs<T, T, Kernels> in;
  const auto q = in({2, n, 2 * dim}, "q"), k = in({2, m, 2 * dim}, "k"), v = in({2, m, 2 * dim}, "v");
  const auto y = ops::attention(q, k, v, 2, causal);
  const std::int64_t before = emulated::products;
  const auto g = ops::attention_gradient(in(q.shape(), "gy"), q, k, v, y, 2, causal);
  return {result(g.q).to_vector(), result(g.k).to_vector(), result(g.v).to_vector(), emulated::products - before};
}

}  // namespace

TEST_CASE_TEMPLATE("Gradients of attention on tensor cores: the order of threads and blocks changes nothing", T,
                   bfloat16, half) {
  for (const std::int64_t dim : {40, 64, 160})
    for (const bool causal : {false, true}) {
      const auto forward = run<T>(130, causal ? 130 : 200, dim, causal);
      emulated::backward = true;
      const auto reversed = run<T>(130, causal ? 130 : 200, dim, causal);
      emulated::backward = false;
      CHECK(forward.q == reversed.q);
      CHECK(forward.k == reversed.k);
      CHECK(forward.v == reversed.v);
    }
}

TEST_CASE("Gradients of attention: tensor cores do heads by eights up to 160, in aligned tensors, the others not") {
  for (const std::int64_t dim : {8, 40, 160}) CHECK(run<bfloat16>(5, 7, dim, false).products > 0);
  for (const std::int64_t dim : {4, 12, 168}) CHECK(run<bfloat16>(5, 7, dim, false).products == 0);
  CHECK(gradient_excess<bfloat16, Kernels>({2, 70, 70, 2, 12}) < 1);
  CHECK(gradient_excess<half, Kernels>({1, 70, 70, 1, 168, true}) < 1);
  alignas(16) const bfloat16 data[16] = {};
  CHECK(ops::launch::mma_fits({1, 1, 4, 4, 8, false}, 8, data, data + 8));
  CHECK_FALSE(ops::launch::mma_fits({1, 1, 4, 4, 8, false}, 8, data, data + 1));
  CHECK_FALSE(ops::launch::mma_fits({1, 1, 4, 4, 16, false}, 8, data));
}

TEST_CASE("Gradients of attention on tensor cores: rows beyond the last do no harm where all scores are far below 0") {
  // exp(0 - log_sum) of a row of zeros is infinite here.
  const auto shifted = [](const char* name, float by) {
    const auto x = numbers::normal<float>({1, 70, 64}, name);
    return ops::cast<bfloat16>(ops::map(ops::Affine<float>{1.0F, by}, x));
  };
  const auto gradients = [&]<class D>(D) {
    const auto q = shifted("q", 4).to<D>(), k = shifted("k", -4).to<D>(), v = shifted("v", 0).to<D>();
    const auto y = ops::attention(q, k, v, 1);
    const auto g = ops::attention_gradient(shifted("gy", 0).to<D>(), q, k, v, y, 1);
    return Results{result(y.log_sum), result(g.q), result(g.k), result(g.v)};
  };
  const auto want = gradients(Cpu{}), got = gradients(Kernels{});
  for (const float x : want[0].span()) REQUIRE(x < -89);
  for (std::size_t n = 1; n < want.size(); ++n) {
    double largest = 0;
    for (const float x : want[n].span()) largest = std::max(largest, std::abs(static_cast<double>(x)));
    CHECK(numbers::distance(want[n], got[n]) < 0.02 * largest);
  }
}
