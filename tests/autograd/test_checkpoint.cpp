// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/checkpoint.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_conv2d.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/autograd/grad_normalize.hpp>
#include <numbers.hpp>

using namespace hypersd;
using namespace hypersd::autograd;
using numbers::normal;

namespace {

/// A residual block whose parameters are captured, as in a network.
struct Block {
  Var<float> gamma{normal<float>({8}, "gamma"), true}, w{normal<float>({8, 3, 3, 8}, "w"), true},
      project{normal<float>({8, 5}, "project"), true};

  Var<float> operator()(const Var<float>& x, const Var<float>& condition) const {
    auto h = group_norm(x, gamma, {}, 4, 1e-5, ops::Activation::silu);
    h = add(conv2d(h, w, {}), ops::per_channel(linear(condition, project)));
    return add(x, silu(h));
  }
};

struct Result {
  std::vector<float> value, x, condition, gamma, w, project;
  bool operator==(const Result&) const = default;
};

/// Two applications of one block, so that its parameters accumulate; `apply(block, x, condition)` is one.
template <class Apply>
Result run(Apply apply) {
  const Block block;
  const Var<float> x(normal<float>({2, 5, 6, 8}, "x"), true), condition(normal<float>({2, 5}, "c"), true);
  const auto y = apply(block, apply(block, x, condition), condition);
  backward(y, normal<float>(y.shape(), "gy"));
  return {y.value().to_vector(),          x.grad().to_vector(),       condition.grad().to_vector(),
          block.gamma.grad().to_vector(), block.w.grad().to_vector(), block.project.grad().to_vector()};
}

Var<double> scalar(double x, bool requires_grad = true) {
  return Var<double>(Tensor<double>::from({1}, {x}), requires_grad);
}

}  // namespace

TEST_CASE("Values and gradients with checkpoints are bitwise the same") {
  const auto plain = run([](const Block& f, const auto& x, const auto& c) { return f(x, c); });
  const auto saved = run([](const Block& f, const auto& x, const auto& c) { return checkpoint(f, x, c); });
  CHECK(saved == plain);
  const auto nested = run([](const Block& f, const auto& x, const auto& c) {
    return checkpoint([f](const auto& a, const auto& b) { return checkpoint(f, a, b); }, x, c);
  });
  CHECK(nested == plain);
  // The comparison is able to fail.
  const auto other = run([](const Block& f, const auto& x, const auto& c) { return affine(f(affine(x, 1.1F), c), 1); });
  CHECK(!(other == plain));
}

TEST_CASE("The function runs once forward and once backward") {
  int calls = 0, taped = 0;
  const auto x = scalar(3);
  const auto y = checkpoint(
      [&](const Var<double>& v) {
        ++calls;
        auto out = mul(v, v);
        taped += out.requires_grad();
        return out;
      },
      x);
  CHECK(calls == 1);
  CHECK(taped == 0);
  backward(y);
  CHECK(calls == 2);
  CHECK(taped == 1);
  CHECK(x.grad().item() == 6);
}

TEST_CASE("Intermediate results are not kept") {
  const auto x = scalar(3);
  Tensor<double> inside;
  const auto y = checkpoint(
      [&](const Var<double>& v) {
        const auto h = mul(v, v);
        if (!inside.defined()) inside = h.value();
        return mul(h, h);
      },
      x);
  CHECK(inside.unique());
  backward(y);
  CHECK(x.grad().item() == 4 * 27);
}

TEST_CASE("Captured parameters get gradients even if no argument requires one") {
  const auto w = scalar(5);
  const auto x = scalar(2, false);
  backward(checkpoint([w](const Var<double>& v) { return mul(v, w); }, x));
  CHECK(w.grad().item() == 2);
  CHECK(!x.grad().defined());
}

TEST_CASE("Only arguments that require a gradient get one, and it accumulates") {
  const auto a = scalar(2), b = scalar(3, false), c = scalar(4);
  const auto product = [](const auto& x, const auto& y, const auto& z) { return mul(mul(x, y), z); };
  for (int i = 1; i <= 2; ++i) {
    backward(checkpoint(product, a, b, c));
    CHECK(a.grad().item() == 12 * i);
    CHECK(c.grad().item() == 6 * i);
  }
  CHECK(!b.grad().defined());
}

TEST_CASE("Gradients of an argument with other uses add up") {
  const auto x = scalar(3);
  const auto h = mul(x, x);
  const auto y = checkpoint([](const auto& a, const auto& b) { return mul(a, b); }, h, h);
  backward(add(y, h));  // x^4 + x^2
  CHECK(x.grad().item() == 4 * 27 + 6);
}

TEST_CASE("Without a tape a checkpoint calls the function") {
  int calls = 0;
  const auto x = scalar(3);
  const NoGrad guard;
  const auto y = checkpoint(
      [&](const Var<double>& v) {
        ++calls;
        return mul(v, v);
      },
      x);
  CHECK(y.item() == 9);
  CHECK(calls == 1);
  CHECK(!y.requires_grad());
}

TEST_CASE("A function without gradient leaves the gradients of its arguments undefined") {
  const auto x = scalar(3), z = scalar(1);
  backward(add(checkpoint([](const Var<double>& v) { return v.detach(); }, x), z));
  CHECK(!x.grad().defined());
  CHECK(z.grad().item() == 1);
}
