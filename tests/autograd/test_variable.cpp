// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/variable.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <numbers.hpp>
#include <stdexcept>
#include <thread>

using namespace hypersd;
using namespace hypersd::autograd;
using numbers::normal;

namespace {

Var<double> leaf(std::initializer_list<double> values) {
  return Var<double>(Tensor<double>::from({static_cast<std::int64_t>(values.size())}, values), true);
}
std::vector<double> grad(const Var<double>& v) { return v.grad().to_vector(); }

}  // namespace

TEST_CASE("A leaf has no gradient before the backward pass and its own after") {
  const auto x = leaf({1, 2, 3});
  CHECK(x.requires_grad());
  CHECK(!x.grad().defined());
  backward(sum(mul(x, x)));
  CHECK(grad(x) == std::vector<double>{2, 4, 6});
}

TEST_CASE("Gradients of several paths add up") {
  const auto x = leaf({0.5, -2});
  // a = 2 x, c = a + a^2, loss = sum c: slope 2 (1 + 2 a).
  const auto a = affine(x, 2);
  backward(sum(add(a, mul(a, a))));
  CHECK(grad(x) == std::vector<double>{2 * (1 + 2 * 1.0), 2 * (1 + 2 * -4.0)});
}

TEST_CASE("A variable is visited after all operations that use it") {
  const auto x = leaf({3});
  const auto early = affine(x, 5);
  auto y = mul(early, early);
  for (int i = 0; i < 4; ++i) y = add(y, early);  // 25 x^2 + 20 x
  backward(mul(y, early));                        // 125 x^3 + 100 x^2
  CHECK(grad(x) == std::vector<double>{375 * 9 + 200 * 3});
}

TEST_CASE("A chain of sixty diamonds is visited in linear time") {
  const auto x = leaf({1});
  auto y = x;
  for (int i = 0; i < 60; ++i) y = add(y, y);
  backward(y);
  CHECK(grad(x) == std::vector<double>{std::ldexp(1.0, 60)});
}

TEST_CASE("The same operand twice gets both gradients") {
  const auto x = leaf({7});
  backward(sub(mul(x, x), x));
  CHECK(grad(x) == std::vector<double>{13});
}

TEST_CASE("Gradients of several passes accumulate until they are cleared") {
  auto x = leaf({1, 2});
  for (int i = 1; i <= 3; ++i) {
    backward(sum(affine(x, 4)));
    CHECK(grad(x) == std::vector<double>{4.0 * i, 4.0 * i});
  }
  const auto held = x.grad();
  backward(sum(x));
  CHECK(held.to_vector() == std::vector<double>{12, 12});  // a shared gradient is never written to
  CHECK(grad(x) == std::vector<double>{13, 13});
  x.zero_grad();
  CHECK(!x.grad().defined());
  backward(sum(x));
  CHECK(grad(x) == std::vector<double>{1, 1});
}

TEST_CASE("The seed scales the gradient and is not modified") {
  const auto x = leaf({1, 2, 3}), z = leaf({4, 5, 6});
  const auto seed = Tensor<double>::from({3}, {1, 10, 100});
  backward(add(x, z), seed);
  backward(add(x, x), seed);
  CHECK(grad(x) == std::vector<double>{3, 30, 300});
  CHECK(grad(z) == std::vector<double>{1, 10, 100});
  CHECK(seed.to_vector() == std::vector<double>{1, 10, 100});
}

TEST_CASE("Leaves that share a gradient do not write to it") {
  const auto x = leaf({1}), y = leaf({2});
  backward(add(x, y));  // both hold the seed itself
  backward(affine(x, 5));
  CHECK(grad(x) == std::vector<double>{6});
  CHECK(grad(y) == std::vector<double>{1});
}

TEST_CASE("A detached factor is a constant") {
  const auto x = leaf({3, 4});
  const auto fixed = x.detach();
  CHECK(!fixed.requires_grad());
  CHECK(fixed.value().data() == x.value().data());
  backward(sum(mul(x, fixed)));
  CHECK(grad(x) == std::vector<double>{3, 4});
}

TEST_CASE("Constants and frozen leaves get no gradient") {
  const Var<double> constant(Tensor<double>::from({1}, {5}));
  auto frozen = leaf({7});
  const auto x = leaf({2});
  frozen.set_requires_grad(false);
  backward(mul(mul(x, constant), frozen));
  CHECK(grad(x) == std::vector<double>{35});
  CHECK(!constant.grad().defined());
  CHECK(!frozen.grad().defined());
  CHECK(!mul(constant, frozen).requires_grad());
}

TEST_CASE("NoGrad records nothing, EnableGrad records again, both end with their scope") {
  const auto x = leaf({2});
  {
    const NoGrad off;
    CHECK(!x.tracked());
    CHECK(!mul(x, x).requires_grad());
    {
      const EnableGrad on;
      CHECK(mul(x, x).requires_grad());
      {
        const NoGrad again;
        CHECK(!mul(x, x).requires_grad());
      }
      CHECK(mul(x, x).requires_grad());
    }
    CHECK(!mul(x, x).requires_grad());
    bool elsewhere = false;
    std::thread([&] { elsewhere = mul(x, x).requires_grad(); }).join();
    CHECK(elsewhere);  // the switch belongs to this thread
  }
  try {
    const NoGrad off;
    throw std::runtime_error("out of the scope");
  } catch (const std::runtime_error&) {
  }
  CHECK(mul(x, x).requires_grad());
}

TEST_CASE("The backward pass frees activations and intermediate gradients") {
  const auto x = leaf({2, 3});
  auto h = mul(x, x);
  const auto y = sum(mul(h, h));
  const auto watched = h.value();
  h = {};
  CHECK(!watched.unique());
  backward(y);
  CHECK(watched.unique());
  CHECK(!y.grad().defined());
  CHECK(y.item() == 16 + 81);
  CHECK(grad(x) == std::vector<double>{4 * 8, 4 * 27});
}

TEST_CASE("A tape without a backward pass is freed with its root") {
  const auto x = leaf({2, 3});
  auto h = mul(x, x);
  const auto watched = h.value();
  h = sum(mul(h, h));
  CHECK(!watched.unique());
  h = {};
  CHECK(watched.unique());
  CHECK(!x.grad().defined());
}

TEST_CASE("A second backward pass over the same tape adds nothing to the leaves") {
  const auto x = leaf({2, 3});
  const auto y = sum(mul(x, x));
  backward(y);
  backward(y);
  CHECK(grad(x) == std::vector<double>{4, 6});
}

TEST_CASE("A variable is a handle") {
  auto x = leaf({1, 2});
  const auto same = x;
  x.set_value(Tensor<double>::from({2}, {5, 6}));
  CHECK(same.value().to_vector() == std::vector<double>{5, 6});
  backward(sum(mul(same, same)));
  CHECK(grad(x) == std::vector<double>{10, 12});
  x.set_grad(Tensor<double>::from({2}, {-1, -1}));
  CHECK(grad(same) == std::vector<double>{-1, -1});
}

TEST_CASE("A leaf can be the loss") {
  const auto x = leaf({3});
  backward(x);
  CHECK(grad(x) == std::vector<double>{1});
}

TEST_CASE("Misuse throws, with a message") {
  auto x = leaf({1, 2});
  const Var<double> constant(Tensor<double>::from({1}, {5}));
  CHECK_THROWS_WITH_AS(backward(x), "backward: the loss has shape [2], one element needed", ShapeError);
  CHECK_THROWS_WITH_AS(backward(constant), "backward: the loss depends on no variable that requires a gradient", Error);
  CHECK_THROWS_WITH_AS(backward(Var<double>{}, Tensor<double>::ones({1})),
                       "backward: the loss depends on no variable that requires a gradient", Error);
  CHECK_THROWS_WITH_AS(backward(x, Tensor<double>::ones({3})), "backward: shapes [2] and [3] differ", ShapeError);
  CHECK_THROWS_WITH_AS(x.accumulate(Tensor<double>::ones({2, 1})), "gradient: shapes [2] and [2, 1] differ",
                       ShapeError);
  CHECK_THROWS_WITH_AS(x.set_value(Tensor<double>::ones({1})), "Var::set_value: shapes [2] and [1] differ", ShapeError);
  CHECK(!x.grad().defined());
}

TEST_CASE("Threads have independent tapes") {
  std::vector<std::vector<double>> got(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < got.size(); ++t)
    threads.emplace_back([&got, t] {
      const auto x = leaf({static_cast<double>(t)});
      for (int i = 0; i < 50; ++i) backward(mul(x, x));
      got[t] = grad(x);
    });
  for (auto& t : threads) t.join();
  for (std::size_t t = 0; t < got.size(); ++t) CHECK(got[t] == std::vector<double>{100.0 * static_cast<double>(t)});
}

TEST_CASE("Gradients of 16-bit variables have 16 bits; each sum is rounded") {
  const Var<bfloat16> x(Tensor<bfloat16>::from({2}, {bfloat16(1), bfloat16(-2)}), true);
  const auto one = autograd::affine(x, 1), other = autograd::affine(x, 1), large = autograd::affine(x, 256);
  autograd::backward(autograd::add(autograd::add(one, other), large), Tensor<bfloat16>::ones({2}));
  // The latest operation comes first: 256 + 1 is a tie between 256 and 258, twice.
  CHECK(x.grad().cast<float>().to_vector() == std::vector<float>{256, 256});
  const Var<bfloat16> z(x.value(), true);
  autograd::backward(autograd::mse(z, Tensor<bfloat16>::zeros({2})));
  CHECK(z.grad().cast<float>().to_vector() == std::vector<float>{1, -2});
}

TEST_CASE("A mean of half does not overflow where its sum would") {
  const Var<half> x(Tensor<half>::full({4096}, half(30.0F)), true);
  CHECK(static_cast<float>(autograd::mse(x, Tensor<half>::zeros({4096})).item()) == 900.0F);
}
