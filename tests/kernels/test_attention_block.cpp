// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <hypersd/ops/attention.hpp>

using namespace hypersd;
using emulated::distance_to_cpu;
using emulated::host;
using numbers::normal;

namespace {

/// Results, gradients and tangents of one attention, with `Cpu` and by kernels.
template <class T>
double distance(std::int64_t batch, std::int64_t n, std::int64_t m, std::int64_t dim, std::int64_t heads, bool causal) {
  return distance_to_cpu([&]<class D>(D) {
    const auto q = normal<T>({batch, n, heads * dim}, "q").template to<D>();
    const auto k = normal<T>({batch, m, heads * dim}, "k").template to<D>();
    const auto v = normal<T>({batch, m, heads * dim}, "v").template to<D>();
    const auto gy = normal<T>(q.shape(), "gy").template to<D>();
    const auto y = ops::attention(q, k, v, heads, causal);
    const auto g = ops::attention_gradient(gy, q, k, v, y, heads, causal);
    const ops::AttentionTangents<T, D> direction{gy, normal<T>(k.shape(), "dk").template to<D>(),
                                                 normal<T>(v.shape(), "dv").template to<D>()};
    const auto dy = ops::attention_tangent(direction, q, k, v, y, heads, causal);
    const auto of_queries = ops::attention_tangent({gy, {}, {}}, q, k, v, y, heads, causal);  // keys are constant
    const auto of_values = ops::attention_tangent({{}, {}, direction.v}, q, k, v, y, heads, causal);
    return std::vector<Tensor<T>>{host(y.y), host(y.log_sum), host(g.q),        host(g.k),
                                  host(g.v), host(dy),        host(of_queries), host(of_values)};
  });
}

}  // namespace

TEST_CASE("Attention by kernels: tiles, remainders, one key") {
  CHECK(distance<float>(2, 16, 16, 8, 2, false) < 1e-5);
  CHECK(distance<float>(1, 65, 130, 12, 1, false) < 1e-5);
  CHECK(distance<float>(2, 7, 77, 40, 2, false) < 1e-5);
  CHECK(distance<float>(3, 10, 1, 8, 2, false) < 1e-5);
  CHECK(distance<double>(1, 33, 64, 5, 3, false) < 1e-12);
  CHECK(distance<double>(2, 1, 2, 3, 1, false) < 1e-12);
}

TEST_CASE("Attention by kernels: heads wider than a piece, than a block's registers") {
  CHECK(distance<float>(1, 20, 70, 65, 2, false) < 1e-5);
  CHECK(distance<float>(1, 9, 11, 160, 1, false) < 1e-5);
  CHECK(distance<float>(1, 6, 5, 300, 1, false) < 1e-5);
}

TEST_CASE("Causal attention by kernels") {
  for (const std::int64_t n : {1, 5, 64, 77}) CHECK(distance<float>(1, n, n, 10, 2, true) < 1e-5);
  CHECK(distance<double>(1, 40, 40, 6, 1, true) < 1e-12);
}

TEST_CASE("Each tile of each head has one block, beyond 2^31 rows too") {
  using Tile = ops::launch::AttentionTile<float>;
  const ops::AttentionGeometry g{3, 2, 130, 70, 100, false};
  std::vector<int> seen(static_cast<std::size_t>(g.batch * g.heads * 3 * 2), 0);
  CHECK(Tile::blocks(g, g.queries, 64) == static_cast<std::int64_t>(seen.size()));
  for (std::int64_t i = 0; i < Tile::blocks(g, g.queries, 64); ++i) {
    const auto at = Tile::block_of(g, g.queries, 64, i);
    ++seen[static_cast<std::size_t>((at.head * 3 + at.first / 64) * 2 + at.column / 64)];
  }
  for (const int n : seen) CHECK(n == 1);
  const ops::AttentionGeometry big{1 << 16, 8, 4096, 4096, 64, false};
  const auto last = Tile::block_of(big, big.queries, 64, Tile::blocks(big, big.queries, 64) - 1);
  CHECK(last.head == big.batch * big.heads - 1);
  CHECK(big.head_offset(big.queries, last.head) + (last.first + 63) * big.channels() + big.dim ==
        big.batch * big.queries * big.channels());
}
