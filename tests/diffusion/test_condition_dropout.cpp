// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/condition_dropout.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace hypersd;
using diffusion::drop_condition;

namespace {

/// Row b is (b + 1, b + 1, b + 1); the null row is zero.
Tensor<std::int32_t> rows(std::int64_t n) {
  Tensor<std::int32_t> out(Shape{n, 3});
  for (std::int64_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int32_t>(i / 3 + 1);
  return out;
}
const auto null = Tensor<std::int32_t>::zeros(Shape{3});

}  // namespace

TEST_CASE("condition dropout replaces whole samples, in the given share, and leaves its input alone") {
  const std::int64_t n = 20000;
  const auto before = rows(n), out = drop_condition(before, null, 0.15, stream(1, "drop"));
  CHECK(before.to_vector() == rows(n).to_vector());
  std::int64_t dropped = 0;
  for (std::int64_t b = 0; b < n; ++b) {
    CHECK((out[3 * b] == 0 || out[3 * b] == b + 1));
    CHECK(out[3 * b] == out[3 * b + 2]);
    dropped += out[3 * b] == 0;
  }
  // Five standard deviations of a binomial.
  CHECK(std::abs(static_cast<double>(dropped) - 0.15 * n) < 5 * std::sqrt(0.15 * 0.85 * n));
  CHECK(drop_condition(before, null, 0, stream(1, "drop")).to_vector() == before.to_vector());
  for (const auto v : drop_condition(before, null, 1, stream(1, "drop")).to_vector()) CHECK(v == 0);
}

TEST_CASE("condition dropout does not depend on the split of a batch") {
  const auto s = stream(1, "drop");
  const auto whole = drop_condition(rows(64), null, 0.5, s).to_vector();
  const auto part = drop_condition(rows(64).slice(40, 64), null.reshape({1, 3}), 0.5, s, 40).to_vector();
  CHECK(std::vector<std::int32_t>(whole.begin() + 120, whole.end()) == part);
  CHECK(whole != drop_condition(rows(64), null, 0.5, stream(2, "drop")).to_vector());
}

TEST_CASE("condition dropout refuses a bad probability or null condition") {
  CHECK_THROWS_WITH_AS(drop_condition(rows(2), null, 1.5, stream(1, "drop")), doctest::Contains("probability 1.5"),
                       OptionError);
  CHECK_THROWS_WITH_AS(drop_condition(rows(2), Tensor<std::int32_t>::zeros(Shape{2}), 0.5, stream(1, "drop")),
                       doctest::Contains("null condition"), ShapeError);
}
