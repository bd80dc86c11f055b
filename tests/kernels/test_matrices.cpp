// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <cmath>
#include <hypersd/ops/cuda/attention/mma_tile.hpp>
#include <vector>

using namespace hypersd::ops::launch;

namespace {

/// Two warps load four matrices each of 16 x 16 numbers 100 row + column, in lines of 24, and the second one's are 5000
/// larger.
struct Loads {
  static constexpr int threads = 64, line = 24;
  struct Shared {
    alignas(16) std::uint16_t v[2 * 16 * line];
  };
  struct Registers {
    std::uint32_t v[4];
  };
  bool transposed, across;
  Registers* out;
  [[nodiscard]] static std::int64_t blocks() { return 1; }
  template <class Block>
  void operator()(Block& block, std::int64_t, Shared& shared) const {
    typename Block::template Private<Registers> r;
    block.each([&](int t) {
      for (int i = t; i < 2 * 16 * line; i += threads)
        shared.v[i] = static_cast<std::uint16_t>(i / line / 16 * 5000 + i / line % 16 * 100 + i % line);
    });
    const auto load = [&](int t) {
      const std::uint16_t* corner = shared.v + t / 32 * 16 * line;
      return LdmatrixRegisters{across ? ldmatrix_row_b(corner, line, t % 32) : ldmatrix_row_a(corner, line, t % 32),
                               r[t].v};
    };
    if (transposed)
      block.template ldmatrix<true>(load);
    else
      block.template ldmatrix<false>(load);
    block.each_unsynchronized([&](int t) { out[t] = r[t]; });
  }
};
std::vector<Loads::Registers> loaded(bool transposed, bool across) {
  std::vector<Loads::Registers> out(Loads::threads);
  run_blocks(emulated::Kernels{}, "loads", Loads{transposed, across, out.data()});
  return out;
}
/// The pair of (row, column) and its neighbour below or to the right.
std::uint32_t pair(int row, int col, bool below, int more = 0) {
  const auto at = [&](int r, int c) { return static_cast<std::uint32_t>(more + 100 * r + c); };
  return at(row, col) | (below ? at(row + 1, col) : at(row, col + 1)) << 16U;
}

}  // namespace

TEST_CASE("Matrices from shared memory: each lane's numbers are where the instruction puts them") {
  // PTX ISA 8.0, ldmatrix: lane 6 has columns 4 and 5 of row 1; transposed, rows 4 and 5 of column 1.
  const auto plain = loaded(false, false), turned = loaded(true, false);
  CHECK(plain[6].v[0] == pair(1, 4, false));
  CHECK(plain[6].v[1] == pair(9, 4, false));
  CHECK(plain[6].v[2] == pair(1, 12, false));
  CHECK(plain[6].v[3] == pair(9, 12, false));
  CHECK(turned[6].v[0] == pair(4, 1, true));
  CHECK(turned[6].v[1] == pair(12, 1, true));
  CHECK(turned[6].v[2] == pair(4, 9, true));
  CHECK(turned[32 + 6].v[3] == pair(12, 9, true, 5000));
}

TEST_CASE("Matrices from shared memory are the factors of a product") {
  const auto left = loaded(false, false), right = loaded(true, false), across = loaded(false, true);
  for (int t = 0; t < 64; ++t) {
    const int lane = t % 32, more = t / 32 * 5000;
    const auto n = static_cast<std::size_t>(t);
    for (int r = 0; r < 4; ++r) {
      const auto a = mma_a(lane, r), b = mma_b(lane, r % 2);
      CHECK(left[n].v[r] == pair(a.row, a.col, false, more));
      CHECK(right[n].v[r] == pair(b.row, b.col + r / 2 * 8, true, more));
      CHECK(across[n].v[r] == pair(b.col + r / 2 * 8, b.row, false, more));
    }
  }
}

TEST_CASE("Lines of rows in shared memory: the eight that are read at once lie in different banks") {
  const auto apart = [](int line) {
    int banks = 0;
    for (int row = 0; row < 8; ++row) banks |= 0xf << (row * line / 2 % 32);  // 4 banks hold 8 numbers
    return static_cast<unsigned>(banks) == 0xffffffffU;
  };
  CHECK(apart(MmaTile<hypersd::half, 8>::pitch));
  CHECK(apart(MmaTile<hypersd::half, 32>::pitch));
  CHECK(apart(MmaTile<hypersd::half, 40>::pitch));
  CHECK(apart(MmaTile<hypersd::half, 64>::pitch));
  CHECK(apart(MmaTile<hypersd::half, 80>::pitch));
  CHECK(apart(MmaTile<hypersd::half, 128>::pitch));
  CHECK(apart(MmaTile<hypersd::half, 160>::pitch));
  CHECK_FALSE(apart(64));
}

TEST_CASE("Tensors that are read 16 bytes at a time: heads by eights, aligned, rows not too far apart") {
  alignas(16) const hypersd::half data[16] = {};
  CHECK(mma_fits({1, 1, 4, 4, 40, false}, 40, data, data + 8));
  CHECK_FALSE(mma_fits({1, 1, 4, 4, 48, false}, 40, data));
  CHECK_FALSE(mma_fits({1, 1, 4, 4, 36, false}, 40, data));
  CHECK_FALSE(mma_fits({1, 1, 4, 4, 40, false}, 40, data, data + 1));
  CHECK(mma_fits({1, (1 << 28) - 1, 4, 4, 8, false}, 8, data));
  CHECK_FALSE(mma_fits({1, 1 << 28, 4, 4, 8, false}, 8, data));
}

TEST_CASE("Copies into shared memory: NaN until the wait for them, zeros for what is not there") {
  alignas(16) const float from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  alignas(16) float to[8] = {}, zeros[4] = {9, 9, 9, 9}, one[4] = {};
  emulated::Block<32> block;
  block.copy_async([&](int t, auto&& copy) {
    if (t < 2) copy(Bytes<16>{}, to + 4 * t, from + 4 * t, true);
  });
  block.copy_async([&](int t, auto&& copy) {
    if (t == 0) copy(Bytes<16>{}, zeros, from, false);
    if (t == 1) copy(Bytes<4>{}, one + 1, from + 5, true);
  });
  CHECK(std::isnan(to[0]));
  CHECK(std::isnan(zeros[3]));
  block.wait_copies<1>();
  for (int i = 0; i < 8; ++i) CHECK(to[i] == from[i]);
  CHECK(std::isnan(zeros[0]));
  CHECK(one[0] == 0);
  CHECK(std::isnan(one[1]));
  CHECK(block.pending_copies() == 1);
  block.wait_copies<0>();
  for (const float x : zeros) CHECK(x == 0);
  CHECK(one[1] == 6);
  CHECK(one[2] == 0);
}

TEST_CASE("Copies into shared memory: unaligned ones, and ones over what may still be read, are faults") {
  alignas(16) std::uint16_t lines[16 * 8] = {}, from[8] = {};
  std::uint32_t registers[32][4];
  emulated::Block<32> block;
  const auto copy_to = [&](std::uint16_t* to) {
    block.copy_async([&](int t, auto&& copy) {
      if (t == 0) copy(Bytes<16>{}, to, from, true);
    });
  };
  const auto load_from = [&](const std::uint16_t* corner) {
    block.ldmatrix<false>([&](int t) { return LdmatrixRegisters{corner + t % 8 * 8, registers[t]}; });
  };
  CHECK_THROWS_AS(copy_to(lines + 4), std::logic_error);
  CHECK_THROWS_AS(load_from(lines + 4), std::logic_error);
  load_from(lines);
  CHECK_NOTHROW(copy_to(lines + 64));
  CHECK_THROWS_AS(copy_to(lines), std::logic_error);
  load_from(lines);
  block.each([](int) {});
  CHECK_NOTHROW(copy_to(lines));
}
