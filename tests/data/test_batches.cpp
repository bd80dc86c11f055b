// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/batches.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace hypersd;

TEST_CASE("every epoch is a permutation") {
  const Stream key = stream(7, "test");
  for (const std::int64_t n : {1, 2, 3, 4, 5, 16, 17, 100, 1000}) {
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
      std::set<std::int64_t> seen;
      for (std::int64_t i = 0; i < n; ++i) seen.insert(data::permuted(key, epoch, n, i));
      CHECK(static_cast<std::int64_t>(seen.size()) == n);
      CHECK(*seen.rbegin() == n - 1);
    }
  }
  CHECK_THROWS_AS(data::permuted(key, 0, 0, 0), OptionError);
  CHECK_THROWS_AS(data::permuted(key, 0, 5, 5), OptionError);
}

TEST_CASE("the order looks random") {
  // Mean displacement of a random permutation is n/3; neighbours are uncorrelated.
  const std::int64_t n = 3000;
  double displacement = 0, product = 0;
  int fixed_points = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto a = data::permuted(stream(1, "x"), 0, n, i), b = data::permuted(stream(1, "x"), 0, n, (i + 1) % n);
    displacement += std::abs(static_cast<double>(a - i));
    product += (static_cast<double>(a) / n - 0.5) * (static_cast<double>(b) / n - 0.5);
    fixed_points += a == i ? 1 : 0;
  }
  CHECK(displacement / n == doctest::Approx(1000).epsilon(0.06));
  CHECK(std::abs(product / n * 12) < 0.07);
  CHECK(fixed_points < 8);
}

TEST_CASE("each item goes to each place equally often") {
  std::vector<int> hits(25);
  for (std::uint64_t epoch = 0; epoch < 5000; ++epoch)
    for (std::int64_t i = 0; i < 5; ++i)
      ++hits[static_cast<std::size_t>(5 * i + data::permuted(stream(2, "x"), epoch, 5, i))];
  for (const int h : hits) CHECK(std::abs(h - 1000) < 130);
}

TEST_CASE("batches depend on seed and step alone and use every item once an epoch") {
  const data::Batches batches(10, 4, 3);
  std::vector<std::int64_t> all;
  for (std::int64_t step = 0; step < 5; ++step) {
    const auto batch = batches(step);
    CHECK(batch == data::Batches(10, 4, 3)(step));
    all.insert(all.end(), batch.begin(), batch.end());
  }
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<std::int64_t> items(all.begin() + 10 * epoch, all.begin() + 10 * (epoch + 1));
    std::sort(items.begin(), items.end());
    for (std::int64_t i = 0; i < 10; ++i) CHECK(items[static_cast<std::size_t>(i)] == i);
  }
  CHECK(std::vector<std::int64_t>(all.begin(), all.begin() + 10) !=
        std::vector<std::int64_t>(all.begin() + 10, all.end()));
  CHECK(batches(0) != data::Batches(10, 4, 4)(0));
  CHECK(batches.epochs(5) == 2.0);
  const auto whole = batches(3);  // across the end of an epoch
  CHECK(batches(3, 1, 2) == std::vector<std::int64_t>(whole.begin() + 1, whole.begin() + 3));
  CHECK(data::Batches(3, 8, 0)(0).size() == 8);  // a batch may be larger than the set
}

TEST_CASE("numbers that cannot be") {
  CHECK_THROWS_AS(data::Batches(0, 4, 1), OptionError);
  CHECK_THROWS_AS(data::Batches(4, 0, 1), OptionError);
  CHECK_THROWS_AS(data::Batches(4, 4, 1)(-1), OptionError);
  CHECK_THROWS_WITH_AS(data::Batches(4, 4, 1)(0, 2, 3), doctest::Contains("elements [2, 5) of a batch of 4"),
                       OptionError);
}
