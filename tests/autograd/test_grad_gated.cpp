// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_gated.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Gated linear units") {
  for (const Shape& shape : {Shape{6}, Shape{3, 2}, Shape{2, 3, 10}}) {
    const auto x = normal(shape, "x");
    check::gradient([](const auto& v) { return autograd::geglu(v[0]); }, {x});
    check::gradient([](const auto& v) { return autograd::swiglu(v[0]); }, {x});
    check::gradient([](const auto& v) { return autograd::gated(ops::Tanh{}, v[0]); }, {x});
  }
}

TEST_CASE("GEGLU and SwiGLU have the values of their definitions") {
  const Var<double> x(Tensor<double>::from({1, 4}, {2, -3, 0.7, -1.3}));
  const auto g = autograd::geglu(x).value(), s = autograd::swiglu(x).value();
  for (std::int64_t i = 0; i < 2; ++i) {
    const double a = x.value()[i], gate = x.value()[i + 2];
    CHECK(g[i] == doctest::Approx(a * 0.5 * gate * std::erfc(-gate / std::sqrt(2.0))).epsilon(1e-13));
    CHECK(s[i] == doctest::Approx(a * gate / (1 + std::exp(-gate))).epsilon(1e-13));
  }
}
