// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/softmax.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

/// The definition, row by row, in long double and without a shift.
template <class T>
Tensor<double> softmax(const Tensor<T>& x) {
  const std::int64_t cols = x.dim(-1);
  Tensor<double> y(x.shape());
  for (std::int64_t r = 0; r < x.size() / cols; ++r) {
    long double total = 0;
    for (std::int64_t c = 0; c < cols; ++c) total += std::exp(static_cast<long double>(x[r * cols + c]));
    for (std::int64_t c = 0; c < cols; ++c)
      y[r * cols + c] = static_cast<double>(std::exp(static_cast<long double>(x[r * cols + c])) / total);
  }
  return y;
}

Tensor<std::int32_t> labels(std::int64_t batch, std::int64_t classes) {
  Tensor<std::int32_t> out(Shape{batch});
  for (std::int64_t i = 0; i < batch; ++i) out[i] = static_cast<std::int32_t>((7 * i + 3) % classes);
  return out;
}

/// q = (1 - s) one-hot + s / K.
double target(std::int64_t k, std::int32_t label, std::int64_t classes, double smoothing) {
  return (k == label ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
}

}  // namespace

TEST_CASE("Softmax equals its definition for every row length") {
  for (const Shape& shape : {Shape{3, 1}, Shape{2, 3, 5}, Shape{4, 16}, Shape{3, 17}, Shape{2, 31}, Shape{2, 2, 2, 33},
                             Shape{5, 1000}, Shape{7}}) {
    const auto x = normal(shape, "x");
    CHECK(numbers::distance(ops::softmax(x), softmax(x)) < 1e-15);
    CHECK(numbers::distance(ops::softmax(x.cast<float>()), softmax(x.cast<float>())) < 2e-7);
  }
}

TEST_CASE("A shift changes nothing and large numbers do not overflow") {
  const auto x = normal<float>({6, 40}, "x");
  const auto far = x.clone();
  for (float& v : far.span()) v = std::round(v * 1024) / 1024;  // exact after the shift
  const auto near = far.clone();
  for (float& v : far.span()) v += 4096;
  CHECK(ops::softmax(far).to_vector() == ops::softmax(near).to_vector());
  const auto y = ops::softmax(Tensor<float>::from({1, 3}, {3e38F, -3e38F, 3e38F}));
  CHECK(numbers::distance(y, Tensor<float>::from({1, 3}, {0.5F, 0, 0.5F})) < 2e-38);  // e^-87 stands for e^-inf
  // The largest element in the last place, behind the vector lanes.
  const auto z = normal({1, 35}, "z");
  z[34] = 2000;
  CHECK(ops::softmax(z)[34] == 1.0);
}

TEST_CASE("The gradient of softmax is the Jacobian of its definition") {
  for (const Shape& shape : {Shape{3, 1}, Shape{3, 5}, Shape{2, 2, 37}}) {
    const auto x = normal(shape, "x"), g = normal(shape, "g"), y = softmax(x);
    const std::int64_t cols = shape[-1];
    const auto gx = Tensor<double>::zeros(shape);
    for (std::int64_t r = 0; r < x.size() / cols; ++r)
      for (std::int64_t i = 0; i < cols; ++i)
        for (std::int64_t j = 0; j < cols; ++j)
          gx[r * cols + i] += g[r * cols + j] * y[r * cols + j] * ((i == j ? 1 : 0) - y[r * cols + i]);
    CHECK(numbers::distance(ops::softmax_gradient(g, y), gx) < 1e-15);
  }
}

TEST_CASE("Cross entropy and its gradient equal their definition") {
  for (const Shape& shape : {Shape{1, 2}, Shape{5, 10}, Shape{33, 17}, Shape{4, 1}}) {
    for (const double s : {0.0, 0.1, 1.0}) {
      const auto x = normal(shape, "x"), p = softmax(x);
      const auto label = labels(shape[0], shape[1]);
      const Tensor<double> gx(shape);
      double loss = 0;
      for (std::int64_t i = 0; i < x.size(); ++i) {
        const double q = target(i % shape[1], label[i / shape[1]], shape[1], s), n = static_cast<double>(shape[0]);
        loss -= q * std::log(p[i]) / n;
        gx[i] = (p[i] - q) * 2.5 / n;
      }
      const auto got = ops::cross_entropy(x, label, s);
      CHECK(got.shape() == Shape{1});
      CHECK(std::abs(got.item() - loss) < 1e-13);
      CHECK(std::abs(static_cast<double>(ops::cross_entropy(x.cast<float>(), label, s).item()) - loss) < 1e-6);
      CHECK(numbers::distance(ops::cross_entropy_gradient(Tensor<double>::full({1}, 2.5), x, label, s), gx) < 1e-15);
    }
  }
}

TEST_CASE("Equal logits cost ln K, and sure ones do not overflow") {
  const auto label = labels(6, 8);
  CHECK(ops::cross_entropy(Tensor<double>::full({6, 8}, 3.0), label).item() == doctest::Approx(std::log(8.0)));
  const auto x = Tensor<float>::zeros({1, 4});
  x[1] = 1e4F;
  CHECK(ops::cross_entropy(x, Tensor<std::int32_t>::from({1}, {1})).item() == 0.0F);
  CHECK(ops::cross_entropy(x, Tensor<std::int32_t>::from({1}, {2})).item() == 1e4F);
}

TEST_CASE("Softmax and cross entropy are the same bits for any number of threads") {
  const auto x = normal<float>({300, 100}, "x"), g = normal<float>({300, 100}, "g"), y = ops::softmax(x);
  const auto label = labels(300, 100);
  CHECK(numbers::same_for_any_threads([&] { return ops::softmax(x); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::softmax_gradient(g, y); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::cross_entropy(x, label, 0.1); }));
}

TEST_CASE("Empty tensors and mismatched shapes") {
  CHECK(ops::softmax(Tensor<float>(Shape{0, 3})).shape() == Shape{0, 3});
  CHECK(ops::softmax(Tensor<float>(Shape{3, 0})).shape() == Shape{3, 0});
  const auto x = normal({2, 3}, "x");
  CHECK_THROWS_WITH_AS(ops::softmax_gradient(x, normal({3, 2}, "y")),
                       "softmax_gradient: shapes [2, 3] and [3, 2] differ", ShapeError);
  CHECK_THROWS_WITH_AS(ops::cross_entropy(x, labels(3, 3)), "cross_entropy: logits [2, 3] and labels [3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::cross_entropy(Tensor<double>(Shape{0, 3}), labels(0, 3)),
                       "cross_entropy: logits [0, 3] and labels [0]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::cross_entropy(x, labels(2, 3), 1.5), "cross_entropy: label smoothing 1.5 not in [0, 1]",
                       OptionError);
  for (const std::int32_t bad : {-1, 3}) {
    const std::string message = "cross_entropy: label " + std::to_string(bad) + " not in [0, 3)";
    CHECK_THROWS_WITH_AS(ops::cross_entropy(x, Tensor<std::int32_t>::from({2}, {0, bad})), message.c_str(),
                         OptionError);
  }
}
