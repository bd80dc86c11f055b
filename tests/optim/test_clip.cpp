// SPDX-License-Identifier: Apache-2.0
#include <hypersd/optim/clip.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/ops/random.hpp>
#include <limits>

using namespace hypersd;

namespace {

optim::ParameterList<float> with_gradients(const std::vector<std::vector<float>>& gradients) {
  optim::ParameterList<float> list;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Shape shape{static_cast<std::int64_t>(gradients[i].size())};
    Var<float> v(Tensor<float>::zeros(shape), true);
    v.set_grad(Tensor<float>::from(shape, gradients[i]));
    list.push_back({"g" + std::to_string(i), v});
  }
  list.push_back({"none", Var<float>(Tensor<float>::zeros(Shape{4}), true)});
  return list;
}

}  // namespace

TEST_CASE("the gradient norm is over all parameters together") {
  CHECK(optim::grad_norm(with_gradients({{3.0F}, {0.0F, 4.0F}})) == doctest::Approx(5.0));
  CHECK(optim::grad_norm(optim::ParameterList<float>{}) == 0.0);
}

TEST_CASE("long gradients are scaled to max_norm, short ones are left alone") {
  const auto list = with_gradients({{3.0F}, {0.0F, 4.0F}});
  CHECK(optim::clip_grad_norm(list, 10.0) == doctest::Approx(5.0));
  CHECK(list[0].var.grad()[0] == 3.0F);
  CHECK(optim::clip_grad_norm(list, 1.0) == doctest::Approx(5.0));
  CHECK(list[0].var.grad()[0] == doctest::Approx(0.6));
  CHECK(list[1].var.grad()[1] == doctest::Approx(0.8));
  CHECK_FALSE(list[2].var.grad().defined());
  CHECK_THROWS_AS(optim::clip_grad_norm(list, 0.0), OptionError);
}

TEST_CASE("a gradient shared by two parameters is scaled once for each") {
  const auto list = with_gradients({{3.0F, 4.0F}, {0.0F, 0.0F}});
  const Tensor<float> shared = list[0].var.grad();
  auto second = list[1].var;
  second.set_grad(shared);
  CHECK(optim::clip_grad_norm(list, 1.0) == doctest::Approx(std::sqrt(50.0)));
  CHECK(list[0].var.grad()[0] == doctest::Approx(3.0 / std::sqrt(50.0)));
  CHECK(list[1].var.grad()[0] == doctest::Approx(3.0 / std::sqrt(50.0)));
  CHECK(shared[0] == 3.0F);
}

TEST_CASE("clip_factor is PyTorch's and can be switched off") {
  CHECK(optim::clip_factor(5.0, 1.0) == doctest::Approx(1.0 / (5.0 + 1e-6)));
  CHECK(optim::clip_factor(0.5, 1.0) == 1.0);
  CHECK(optim::clip_factor(5.0, 0.0) == 1.0);
}

TEST_CASE("a gradient that is not finite is an error naming the parameter") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(optim::grad_norm(with_gradients({{1.0F}, {nan, 2.0F}})), doctest::Contains("'g1'"),
                       NumericError);
  CHECK_THROWS_WITH_AS(optim::grad_norm(with_gradients({{1.0F, inf}, {2.0F}})), doctest::Contains("'g0'"),
                       NumericError);
}

TEST_CASE("the norm is the same bits for every thread count, and does not overflow in float") {
  const int threads = num_threads();
  std::vector<double> norms;
  for (const int n : {1, 2, 4}) {
    set_num_threads(n);
    Var<float> a(Tensor<float>::zeros(Shape{100001}), true), b(Tensor<float>::zeros(Shape{33}), true);
    a.set_grad(ops::normal<float>(a.shape(), stream(1, "a")));
    b.set_grad(Tensor<float>::full(b.shape(), 1e25F));
    norms.push_back(optim::grad_norm(optim::ParameterList<float>{{"a", a}, {"b", b}}));
  }
  set_num_threads(threads);
  CHECK(norms[0] == norms[1]);
  CHECK(norms[0] == norms[2]);
  CHECK(norms[0] == doctest::Approx(1e25 * std::sqrt(33.0)));
}
