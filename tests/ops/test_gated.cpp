// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/gated.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_slope(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0));
}

}  // namespace

TEST_CASE("A gate is the first half times the activation of the second") {
  for (const Shape& shape : {Shape{2}, Shape{3, 10}, Shape{2, 5, 34}, Shape{300, 64}}) {
    const auto x = normal(shape, "x");
    const std::int64_t cols = shape[-1] / 2;
    const Tensor<double> y(shape.with(-1, cols)), gx(shape);
    const auto gy = normal(y.shape(), "gy");
    for (std::int64_t i = 0; i < y.size(); ++i) {
      const std::int64_t at = i / cols * 2 * cols + i % cols;
      y[i] = x[at] * gelu(x[at + cols]);
      gx[at] = gy[i] * gelu(x[at + cols]);
      gx[at + cols] = gy[i] * x[at] * gelu_slope(x[at + cols]);
    }
    CHECK(numbers::distance(ops::gated(ops::Gelu{}, x), y) < 1e-13);
    CHECK(numbers::distance(ops::gated_gradient(ops::Gelu{}, gy, x), gx) < 1e-13);
    CHECK(numbers::distance(ops::gated(ops::Gelu{}, x.cast<float>()), y) < 5e-6);
    CHECK(numbers::distance(ops::gated_gradient(ops::Gelu{}, gy.cast<float>(), x.cast<float>()), gx) < 5e-6);
  }
}

TEST_CASE("Gates are the same bits for any number of threads") {
  const auto x = normal<float>({500, 128}, "x"), gy = normal<float>({500, 64}, "gy");
  CHECK(numbers::same_for_any_threads([&] { return ops::gated(ops::Silu{}, x); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::gated_gradient(ops::Silu{}, gy, x); }));
}

TEST_CASE("Gates of nothing, and of odd widths") {
  CHECK(ops::gated(ops::Gelu{}, Tensor<float>(Shape{0, 6})).shape() == Shape{0, 3});
  CHECK(ops::gated(ops::Gelu{}, Tensor<float>(Shape{4, 0})).shape() == Shape{4, 0});
  CHECK_THROWS_WITH_AS(ops::gated(ops::Gelu{}, normal({2, 5}, "x")),
                       "gated: shape [2, 5] has an odd number of channels", ShapeError);
  CHECK_THROWS_WITH_AS(ops::gated_gradient(ops::Gelu{}, normal({2, 4}, "g"), normal({2, 6}, "x")),
                       "gated_gradient: gradient [2, 4] for input [2, 6]", ShapeError);
}
