// SPDX-License-Identifier: Apache-2.0
#include <hypersd/optim/schedule.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd::optim;

TEST_CASE("cosine starts at lr, halves in the middle, ends at last and stays there") {
  const Cosine s{.lr = 2e-3, .steps = 100, .last = 1e-4};
  CHECK(s(0) == doctest::Approx(2e-3));
  CHECK(s(50) == doctest::Approx((2e-3 + 1e-4) / 2));
  CHECK(s(100) == doctest::Approx(1e-4));
  CHECK(s(1000) == doctest::Approx(1e-4));
}

TEST_CASE("flat then linear is flat until the tail and reaches its end with the steps") {
  const FlatThenLinear s{.lr = 1.0, .steps = 10, .tail = 0.3};
  CHECK(s(0) == 1.0);
  CHECK(s(7) == doctest::Approx(1.0));
  CHECK(s(8) == doctest::Approx(2.0 / 3));
  CHECK(s(9) == doctest::Approx(1.0 / 3));
  CHECK(s(10) == 0.0);
  CHECK(FlatThenLinear{.lr = 1.0, .steps = 10, .tail = 0}(9) == 1.0);
}

TEST_CASE("warm-up precedes any schedule and starts above 0 by default") {
  const WarmUp s{Constant{1e-2}, 4};
  CHECK(s(0) == doctest::Approx(0.25e-2));
  CHECK(s(3) == doctest::Approx(1e-2));
  CHECK(s(100) == doctest::Approx(1e-2));
  CHECK(WarmUp{Constant{1.0}, 4, true}(0) == 0.0);
  CHECK(WarmUp{Constant{1.0}, 0}(0) == 1.0);
  const WarmUp cosine{Cosine{.lr = 1.0, .steps = 10}, 5};
  CHECK(cosine(5) == 1.0);
  CHECK(cosine(10) == doctest::Approx(0.5));
  CHECK(cosine(15) == doctest::Approx(0.0));
}

TEST_CASE("schedules and lambdas fit the common type") {
  const Schedule a = Constant{0.5}, b = WarmUp{Cosine{1.0, 10}, 5};
  const Schedule c = [](std::int64_t step) { return 0.1 * static_cast<double>(step); };
  CHECK(a(3) == 0.5);
  CHECK(b(0) == doctest::Approx(0.2));
  CHECK(c(2) == doctest::Approx(0.2));
}
