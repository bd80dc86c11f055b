// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <attention_runs.hpp>
#include <map>

using namespace hypersd;
using namespace attention_runs;
using emulated::Kernels;

TEST_CASE("Registers of a warp's product: each element of each matrix once, where the instruction has it") {
  std::map<std::pair<int, int>, int> a, b, c;
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < 4; ++r) {
      const auto p = ops::launch::mma_a(lane, r), e = ops::launch::mma_c(lane, r);
      ++a[{p.row, p.col}], ++a[{p.row, p.col + 1}], ++c[{e.row, e.col}];
    }
    for (int r = 0; r < 2; ++r) {
      const auto p = ops::launch::mma_b(lane, r);
      ++b[{p.row, p.col}], ++b[{p.row + 1, p.col}];
    }
  }
  CHECK(a.size() == 16 * 16);
  CHECK(b.size() == 16 * 8);
  CHECK(c.size() == 16 * 8);
  CHECK(a.rbegin()->first == std::pair(15, 15));
  CHECK(b.rbegin()->first == std::pair(15, 7));
  CHECK(c.rbegin()->first == std::pair(15, 7));
  // PTX ISA 8.0, figures 75 to 78: lane 5 is thread 1 of group 1.
  const auto at = [](ops::launch::MmaPosition p, int row, int col) { return p.row == row && p.col == col; };
  CHECK(at(ops::launch::mma_a(5, 0), 1, 2));
  CHECK(at(ops::launch::mma_a(5, 1), 9, 2));
  CHECK(at(ops::launch::mma_a(5, 2), 1, 10));
  CHECK(at(ops::launch::mma_a(5, 3), 9, 10));
  CHECK(at(ops::launch::mma_b(5, 0), 2, 1));
  CHECK(at(ops::launch::mma_b(5, 1), 10, 1));
  CHECK(at(ops::launch::mma_c(5, 1), 1, 3));
  CHECK(at(ops::launch::mma_c(5, 2), 9, 2));
  // Two results side by side are the left factor of the next product.
  for (int lane = 0; lane < 32; ++lane)
    for (int r = 0; r < 4; ++r) {
      const auto p = ops::launch::mma_a(lane, r), e = ops::launch::mma_c(lane, 2 * (r % 2));
      CHECK(at(p, e.row, e.col + 8 * (r / 2)));
    }
}

TEST_CASE_TEMPLATE("Attention on tensor cores: the error is that of rounding weights and result", T, bfloat16, half) {
  CHECK(worst_excess<T, Kernels>() < 1);
}

TEST_CASE("Attention on tensor cores: the order of threads changes nothing") {
  const auto run = [] {
    const Inputs<bfloat16, bfloat16, Kernels> in;
    const auto y = ops::attention(in({1, 70, 80}, "q"), in({1, 130, 80}, "k"), in({1, 130, 80}, "v"), 2);
    return std::pair(result(y.y), result(y.log_sum));
  };
  const auto forward = run();
  emulated::backward = true;
  const auto reversed = run();
  emulated::backward = false;
  CHECK(forward.first.to_vector() == reversed.first.to_vector());
  CHECK(forward.second.to_vector() == reversed.second.to_vector());
}

TEST_CASE("Attention in 16 bits without tensor cores: head sizes that are no multiple of 8, unaligned tensors") {
  alignas(16) const bfloat16 data[16] = {};
  const auto fits = [&](std::int64_t dim, const bfloat16* q) {
    return ops::launch::mma_fits({1, 1, 4, 4, dim, false}, 40, q, data, data, data);
  };
  CHECK(fits(40, data));
  CHECK(fits(8, data + 8));
  CHECK_FALSE(fits(12, data));
  CHECK_FALSE(fits(48, data));
  CHECK_FALSE(fits(40, data + 1));
  CHECK(excess<bfloat16, Kernels>({2, 70, 70, 2, 12}) < 1);
  CHECK(excess<bfloat16, Kernels>({1, 70, 70, 1, 168}) < 1);
}
