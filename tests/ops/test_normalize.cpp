// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/normalize.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

/// The definition, in double.
template <class T>
Tensor<double> group_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta, std::int64_t groups,
                          double eps, bool silu) {
  const std::int64_t batch = x.dim(0), channels = x.dim(-1), positions = x.size() / batch / channels;
  const std::int64_t per = channels / groups;
  Tensor<double> y(x.shape());
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t g = 0; g < groups; ++g) {
      double mean = 0, variance = 0;
      const double n = static_cast<double>(positions * per);
      auto each = [&](auto&& f) {
        for (std::int64_t p = 0; p < positions; ++p)
          for (std::int64_t c = g * per; c < (g + 1) * per; ++c) f((b * positions + p) * channels + c, c);
      };
      each([&](std::int64_t i, std::int64_t) { mean += static_cast<double>(x[i]) / n; });
      each([&](std::int64_t i, std::int64_t) {
        variance += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean) / n;
      });
      each([&](std::int64_t i, std::int64_t c) {
        const double z =
            (static_cast<double>(x[i]) - mean) / std::sqrt(variance + eps) * static_cast<double>(gamma[c]) +
            static_cast<double>(beta[c]);
        y[i] = silu ? z / (1 + std::exp(-z)) : z;
      });
    }
  }
  return y;
}

}  // namespace

TEST_CASE("Group normalisation equals its definition for every tile width and cut") {
  struct Size {
    Shape x;
    std::int64_t groups;
  };
  // The last two are cut along their positions.
  for (const Size& s :
       {Size{{2, 3, 5}, 1}, Size{{2, 7, 12}, 3}, Size{{3, 4, 4, 32}, 8}, Size{{2, 2, 2, 64}, 8}, Size{{1, 9, 21}, 7},
        Size{{2, 5, 100}, 10}, Size{{17, 70, 16}, 16}, Size{{1, 40, 40, 48}, 3}, Size{{2, 1500, 53}, 1}}) {
    for (const bool silu : {false, true}) {
      const auto activation = silu ? ops::Activation::silu : ops::Activation::none;
      const auto x = normal(s.x, "x"), gamma = normal({s.x[-1]}, "g"), beta = normal({s.x[-1]}, "b");
      const auto y = ops::group_norm(x, gamma, beta, s.groups, 1e-5, activation);
      CHECK(numbers::distance(y.y, group_norm(x, gamma, beta, s.groups, 1e-5, silu)) < 1e-12);
      CHECK(y.mean.shape() == Shape{s.x[0], s.groups});
      const auto xf = x.cast<float>(), gf = gamma.cast<float>(), bf = beta.cast<float>();
      CHECK(numbers::distance(ops::group_norm(xf, gf, bf, s.groups, 1e-5, activation).y,
                              group_norm(xf, gf, bf, s.groups, 1e-5, silu)) < 1e-5);
    }
  }
}

TEST_CASE("Data far from zero lose only what float32 has lost already") {
  auto x = normal<float>({2, 50, 8}, "x");
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = x[i] * 0.5F + 300.0F;
  const auto gamma = Tensor<float>::ones({8}), beta = Tensor<float>::zeros({8});
  CHECK(numbers::distance(ops::group_norm(x, gamma, beta, 2).y, group_norm(x, gamma, beta, 2, 1e-5, false)) < 2e-4);
}

TEST_CASE("A constant input gives beta") {
  const auto x = Tensor<float>::full({2, 9, 8}, -3.25F);
  const auto beta = normal<float>({8}, "b");
  const auto y = ops::group_norm(x, Tensor<float>::ones({8}), beta, 4).y;
  for (std::int64_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(beta[i % 8]).epsilon(1e-4));
  const auto z = ops::layer_norm(x, Tensor<float>::ones({8}), beta).y;
  for (std::int64_t i = 0; i < z.size(); ++i) CHECK(z[i] == doctest::Approx(beta[i % 8]).epsilon(1e-4));
}

TEST_CASE("Undefined gamma and beta are 1 and 0") {
  const auto x = normal({2, 5, 12}, "x"), one = Tensor<double>::ones({12}), zero = Tensor<double>::zeros({12});
  const Tensor<double> none;
  CHECK(numbers::distance(ops::group_norm(x, none, none, 3).y, ops::group_norm(x, one, zero, 3).y) == 0);
  CHECK(numbers::distance(ops::layer_norm(x, none, none).y, ops::layer_norm(x, one, zero).y) == 0);
}

TEST_CASE("Layer normalisation is a group normalisation of each row") {
  for (const std::int64_t cols : {1, 5, 16, 32, 37, 64, 200}) {
    const auto x = normal({6, cols}, "x"), gamma = normal({cols}, "g"), beta = normal({cols}, "b");
    const auto y = ops::layer_norm(x, gamma, beta, 1e-6);
    CHECK(numbers::distance(y.y, group_norm(x.reshape({6, 1, cols}), gamma, beta, 1, 1e-6, false).reshape({6, cols})) <
          1e-11);
    CHECK(y.rstd.shape() == Shape{6});
  }
}

TEST_CASE("Root mean square normalisation equals its definition") {
  for (const std::int64_t cols : {1, 5, 16, 37, 200}) {
    const auto x = normal({6, cols}, "x"), gamma = normal({cols}, "g");
    const auto y = ops::rms_norm(x, gamma, 1e-3);
    Tensor<double> want(x.shape());
    for (std::int64_t r = 0; r < 6; ++r) {
      double square = 0;
      for (std::int64_t c = 0; c < cols; ++c) square += x[r * cols + c] * x[r * cols + c] / static_cast<double>(cols);
      for (std::int64_t c = 0; c < cols; ++c)
        want[r * cols + c] = gamma[c] * x[r * cols + c] / std::sqrt(square + 1e-3);
    }
    CHECK(numbers::distance(y.y, want) < 1e-13);
    CHECK(numbers::distance(ops::rms_norm(x.cast<float>(), gamma.cast<float>(), 1e-3).y, want) < 1e-5);
    CHECK(numbers::distance(ops::rms_norm(x, Tensor<double>{}, 1e-3).y,
                            ops::rms_norm(x, Tensor<double>::ones({cols}), 1e-3).y) == 0);
    CHECK(y.rstd.shape() == Shape{6});
  }
  CHECK_THROWS_WITH_AS(ops::rms_norm(normal({2, 6}, "x"), normal({4}, "g")), "rms_norm: input [2, 6] and gamma [4]",
                       ShapeError);
}

TEST_CASE("Normalisations are the same bits for any number of threads") {
  const auto gamma = normal<float>({32}, "g"), beta = normal<float>({32}, "b");
  for (const Shape& shape : {Shape{70, 4, 4, 32}, Shape{1, 60, 60, 32}}) {
    const auto x = normal<float>(shape, "x"), gy = normal<float>(shape, "gy");
    const auto f = ops::group_norm(x, gamma, beta, 8);
    auto gradient = [&] {
      return ops::group_norm_gradient(gy, x, gamma, beta, f.mean, f.rstd, ops::Activation::silu, true);
    };
    CHECK(numbers::same_for_any_threads([&] { return ops::group_norm(x, gamma, beta, 8).y; }));
    CHECK(numbers::same_for_any_threads([&] { return gradient().x; }));
    CHECK(numbers::same_for_any_threads([&] { return gradient().gamma; }));
    const auto l = ops::layer_norm(x, gamma, beta);
    auto layer = [&] { return ops::layer_norm_gradient(gy, x, gamma, l.mean, l.rstd, true); };
    CHECK(numbers::same_for_any_threads([&] { return layer().x; }));
    CHECK(numbers::same_for_any_threads([&] { return layer().beta; }));
    const auto m = ops::rms_norm(x, gamma);
    CHECK(numbers::same_for_any_threads([&] { return ops::rms_norm(x, gamma).y; }));
    CHECK(numbers::same_for_any_threads(
        [&] { return ops::rms_norm_gradient(gy, x, gamma, m.mean, m.rstd, true).gamma; }));
  }
}

TEST_CASE("Empty batches and mismatched shapes") {
  const auto gamma = normal({4}, "g");
  const Tensor<double> none;
  CHECK(ops::group_norm(Tensor<double>(Shape{0, 3, 4}), gamma, gamma, 2).y.size() == 0);
  CHECK(ops::layer_norm(Tensor<double>(Shape{0, 4}), gamma, gamma).y.size() == 0);
  CHECK_THROWS_WITH_AS(ops::group_norm(normal({2, 3, 6}, "x"), none, none, 4),
                       "group_norm: input [2, 3, 6] cannot be split into 4 groups", ShapeError);
  CHECK_THROWS_WITH_AS(ops::group_norm(normal({2, 3, 6}, "x"), gamma, none, 2),
                       "group_norm: input [2, 3, 6] and gamma [4]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::layer_norm(normal({2, 6}, "x"), none, gamma), "layer_norm: input [2, 6] and beta [4]",
                       ShapeError);
}
