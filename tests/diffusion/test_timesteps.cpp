// SPDX-License-Identifier: Apache-2.0
// Time grids against diffusers' (tests/golden/README.md) and tables worked by hand.
#include <hypersd/diffusion/timesteps.hpp>

#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/io/safetensors.hpp>

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

Times golden(const io::SafetensorsFile& file, const std::string& name) {
  const auto grid = file.get<std::int64_t>("grid." + name);
  return {grid.data(), grid.data() + grid.size()};
}

/// A process of `train` training times.
Discrete<> process(int train) { return noise_table(Linear{{.train_steps = train}}); }
const Discrete<> thousand = process(1000);

bool descends(const Times& t) {
  for (std::size_t i = 1; i < t.size(); ++i)
    if (t[i] >= t[i - 1]) return false;
  return true;
}

}  // namespace

TEST_CASE("all grids equal diffusers'") {
  const io::SafetensorsFile file(HYPERSD_TEST_DATA "/schedules.safetensors");
  for (const int n : {1, 2, 3, 4, 6, 8, 16, 25}) {
    CAPTURE(n);
    const std::string of = "." + std::to_string(n);
    CHECK(trailing(1000, n) == golden(file, "trailing" + of));
    CHECK(linspace(1000, n) == golden(file, "linspace" + of));
    CHECK(leading(1000, n) == golden(file, "leading" + of));
    CHECK(leading(1000, n, 1) == golden(file, "leading1" + of));
    CHECK(origin_grid(1000, n) == golden(file, "tcd50" + of));
    CHECK(origin_grid(1000, n, 40) == golden(file, "tcd40" + of));
  }
}

TEST_CASE("halves round to even") {
  // 1000 * 3 / 16 = 187.5 and so on, at every other place.
  CHECK(trailing(1000, 16) == Times{999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61});
  CHECK(trailing(3, 2) == Times{2, 1});     // 1.5 -> 2
  CHECK(linspace(6, 3) == Times{5, 2, 0});  // 2.5 -> 2
  CHECK(linspace(8, 3) == Times{7, 4, 0});  // 3.5 -> 4
}

TEST_CASE("every trailing and linspace grid is NumPy's rounding of the exact points") {
  for (const int train : {7, 50, 999, 1000, 1024}) {
    const auto levels = process(train);
    for (int n = 1; n <= train; n += train < 100 ? 1 : 13) {
      const Times a = trailing(train, n), b = linspace(train, n);
      REQUIRE(a.size() == static_cast<std::size_t>(n));
      REQUIRE(b.size() == a.size());
      for (int i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const long double x = static_cast<long double>(train) * (n - i) / n;
        REQUIRE(a[at] == static_cast<int>(std::nearbyint(x)) - 1);
        if (n > 1) {
          const long double y = static_cast<long double>(train - 1) * (n - 1 - i) / (n - 1);
          REQUIRE(b[at] == static_cast<int>(std::nearbyint(y)));
        }
      }
      REQUIRE(a.front() == train - 1);
      REQUIRE(descends(a));
      REQUIRE(descends(b));
      REQUIRE_NOTHROW(check_times(levels, a));
      REQUIRE(levels.grid(n) == a);
    }
  }
  CHECK(linspace(1000, 1) == Times{0});
}

TEST_CASE("the origin grid of 40 points is the trailing grid for 1, 2, 4 and 8 steps") {
  for (const int n : {1, 2, 4, 8}) CHECK(origin_grid(1000, n, 40) == trailing(1000, n));
  CHECK(origin_grid(1000, 40, 40) == origin_points(1000, 40));
  CHECK(origin_grid(1000, 4) == Times{999, 759, 499, 259});
}

TEST_CASE("origin points are even steps below T") {
  const Times fifty = origin_points(1000, 50);
  REQUIRE(fifty.size() == 50);
  for (int i = 0; i < 50; ++i) CHECK(fifty[static_cast<std::size_t>(i)] == 999 - 20 * i);
  CHECK(origin_points(10, 3) == Times{8, 5, 2});  // 10 / 3 is cut to 3
  CHECK(origin_points(10, 1) == Times{9});
}

TEST_CASE("strength keeps the later part of a grid") {
  const Times four = trailing(1000, 4);
  CHECK(with_strength(four, 1) == four);
  CHECK(with_strength(four, 0.99) == Times{749, 499, 249});
  CHECK(with_strength(four, 0.5) == Times{499, 249});
  CHECK(with_strength(four, 0.25) == Times{249});
  CHECK_THROWS_WITH_AS(with_strength(four, 0.2), doctest::Contains("strength 0.2 leaves none of 4"), OptionError);
  CHECK_THROWS_AS(with_strength({999}, 0.9), OptionError);
  for (const double s : {0.0, -0.5, 1.01, std::nan("")})
    CHECK_THROWS_WITH_AS(with_strength(four, s), doctest::Contains("is not in (0, 1]"), OptionError);
}

TEST_CASE("numbers of steps outside [1, T] are named") {
  for (const int n : {0, -1, 1001}) {
    const std::string part = "number of steps " + std::to_string(n) + " is not in [1, 1000]";
    CHECK_THROWS_WITH_AS(trailing(1000, n), doctest::Contains(part.c_str()), OptionError);
    CHECK_THROWS_WITH_AS(leading(1000, n), doctest::Contains(part.c_str()), OptionError);
    CHECK_THROWS_WITH_AS(linspace(1000, n), doctest::Contains(part.c_str()), OptionError);
    CHECK_THROWS_WITH_AS(Steps(n).times(thousand), doctest::Contains(part.c_str()), OptionError);
    CHECK_THROWS_WITH_AS(origin_points(1000, n), doctest::Contains("number of origin points"), OptionError);
  }
  CHECK_THROWS_WITH_AS(origin_grid(1000, 51), doctest::Contains("number of steps 51 is not in [1, 50]"), OptionError);
  CHECK_THROWS_AS(origin_grid(1000, 0), OptionError);
  CHECK(trailing(1000, 1000).back() == 0);
}

TEST_CASE("a leading grid pushed off the table is refused") {
  CHECK(leading(1000, 1000) == linspace(1000, 1000));
  CHECK_THROWS_WITH_AS(leading(1000, 1000, 1), doctest::Contains("offset of 1 time 1000 is not in [0, 999]"),
                       OptionError);
  CHECK_THROWS_WITH_AS(leading(1000, 4, -1), doctest::Contains("offset of -1 time -1 is not in [0, 999]"), OptionError);
}

TEST_CASE("steps are a number or a list") {
  CHECK(Steps(4).times(thousand) == Times{999, 749, 499, 249});
  CHECK(Steps{800}.times(thousand) == Times{800});
  CHECK(Steps({999, 749, 20, 0}).times(thousand) == Times{999, 749, 20, 0});
  CHECK(Steps(leading(1000, 2, 1)).times(thousand) == Times{501, 1});
}

TEST_CASE("bad lists are named by their fault") {
  const auto refused = [](const Times& t, const char* part) {
    CAPTURE(part);
    CHECK_THROWS_WITH_AS(Steps(t).times(thousand), doctest::Contains(part), OptionError);
    CHECK_THROWS_WITH_AS(check_times(thousand, t), doctest::Contains(part), OptionError);
  };
  refused({}, "empty list");
  refused({1000}, "time step 1000 is not in [0, 999]");
  refused({999, -1}, "time step -1 is not in [0, 999]");
  refused({499, 999}, "999 follows 499");
  refused({499, 499}, "499 follows 499");
  refused({999, 499, 500}, "500 follows 499");
}
