// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cuda/launch.hpp>

#include <doctest/doctest.h>
#include <algorithm>
#include <vector>

using namespace hypersd;
using namespace hypersd::ops;

TEST_CASE("A grid-stride loop touches each element once, ragged sizes included") {
  for (const std::int64_t n : {1, 255, 256, 257, 70000, 65535 * 4 + 13}) {
    const std::int64_t grid = launch::blocks(n, 64);
    std::vector<int> seen(static_cast<std::size_t>(n), 0);
    for (std::int64_t b = 0; b < grid; ++b)
      for (std::int64_t t = 0; t < launch::threads; ++t)
        for (std::int64_t i = launch::first(b, t); i < n; i += launch::stride(grid))
          ++seen[static_cast<std::size_t>(i)];
    for (const int s : seen) REQUIRE(s == 1);
  }
}

TEST_CASE("Index arithmetic holds beyond 2^31 elements") {
  const std::int64_t n = (std::int64_t{1} << 33) + 5, cols = 12345;
  const launch::Position last = launch::position(n - 1, cols);
  CHECK(last.row * cols + last.col == n - 1);
  CHECK(last.col < cols);
  const std::int64_t grid = launch::blocks(n);
  CHECK(grid == 65535);
  CHECK(launch::first(grid - 1, launch::threads - 1) == launch::stride(grid) - 1);
  CHECK(launch::part(n, 512, 511).end == n);
}

TEST_CASE("A quotient is the same in 32 and in 64 bits") {
  const std::int64_t wide = std::int64_t{1} << 32;
  for (const std::int64_t i : {std::int64_t{0}, std::int64_t{7}, wide - 1, wide, 5 * wide + 3})
    for (const std::int64_t by : {std::int64_t{1}, std::int64_t{3}, wide - 1, wide, 2 * wide + 1})
      CHECK(ops::launch::quotient(i, by) == i / by);
}

TEST_CASE("Parts are ordered, disjoint and cover everything") {
  for (const std::int64_t n : {0, 1, 7, 512, 513, 100000}) {
    std::int64_t at = 0;
    for (std::int64_t p = 0; p < 256; ++p) {
      const launch::Range r = launch::part(n, 256, p);
      CHECK(r.begin == at);
      CHECK(r.end >= r.begin);
      at = r.end;
    }
    CHECK(at == n);
  }
}

TEST_CASE("Philox counters cover a range at any offset, and each element has one counter and word") {
  for (const std::int64_t offset : {0, 1, 63, 64, 1000}) {
    for (const std::int64_t n : {1, 16, 63, 64, 65, 777}) {
      std::vector<int> seen(static_cast<std::size_t>(n), 0);
      for (std::int64_t c = 0; c < launch::philox_counters(offset, n); ++c) {
        const auto base = static_cast<std::uint64_t>(launch::philox_element(offset, c, 0));
        for (int word = 0; word < 4; ++word) {
          const std::int64_t element = launch::philox_element(offset, c, word);
          // All four words must come from the counter that the element itself names.
          CHECK(philox_counter({}, static_cast<std::uint64_t>(element)) == philox_counter({}, base));
          if (element >= offset && element < offset + n) ++seen[static_cast<std::size_t>(element - offset)];
        }
      }
      for (const int s : seen) REQUIRE(s == 1);
    }
  }
}

TEST_CASE("items of several elements cover every element once") {
  for (const int per : {1, 4, 8}) {
    for (const std::int64_t n : {1, 255, 256, 257, 1024, 5000, 8192}) {
      std::vector<int> seen(static_cast<std::size_t>(n), 0);
      const std::int64_t items = launch::unrolled_items(n, per);
      CHECK(items % launch::threads == 0);
      std::int64_t last = -1;
      for (std::int64_t i = 0; i < items; ++i)
        for (int u = 0; u < per; ++u) {
          const std::int64_t j = launch::unrolled_element(i, per, u);
          if (j < n) ++seen[static_cast<std::size_t>(j)];
          last = std::max(last, j);
        }
      CHECK(std::count(seen.begin(), seen.end(), 1) == n);
      CHECK(last == items * per - 1);
    }
    // Beyond 2^31 elements: the ends and a tile in the middle.
    const std::int64_t n = (std::int64_t{5} << 31) + 77, items = launch::unrolled_items(n, per);
    CHECK(launch::unrolled_element(items - 1, per, per - 1) == items * per - 1);
    CHECK(items * per >= n);
    CHECK((items - launch::threads) * per < n);
    const std::int64_t tile = std::int64_t{9} << 22;
    CHECK(launch::unrolled_element(tile * launch::threads + 3, per, 0) == tile * per * launch::threads + 3);
  }
}
