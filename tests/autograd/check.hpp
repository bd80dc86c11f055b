// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include <hypersd/testing/gradcheck.hpp>
#include <numbers.hpp>

/// \file
/// Helpers of gradient tests.

namespace check {

using namespace hypersd;
using Inputs = std::vector<Var<double>>;

/// Gradients of sum(fn(inputs) * w) for the inputs with `wanted`; the others are constants.
inline std::vector<Tensor<double>> gradients(const testing::GradcheckFunction& fn,
                                             const std::vector<Tensor<double>>& inputs,
                                             const std::function<bool(std::size_t)>& wanted) {
  Inputs vars;
  for (std::size_t i = 0; i < inputs.size(); ++i) vars.emplace_back(inputs[i], wanted(i));
  const Var<double> y = fn(vars);
  autograd::backward(y, numbers::normal(y.shape(), "w"));
  std::vector<Tensor<double>> out;
  for (const auto& v : vars) out.push_back(v.grad());
  return out;
}

/// The gradients of fn agree with central differences, and each is the same if it is the only one required.
inline void gradient(const testing::GradcheckFunction& fn, const std::vector<Tensor<double>>& inputs,
                     double tolerance = 1e-7) {
  const auto result = testing::gradcheck(fn, inputs, tolerance);
  CHECK_MESSAGE(result.ok, result.message);
  const auto all = gradients(fn, inputs, [](std::size_t) { return true; });
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto alone = gradients(fn, inputs, [i](std::size_t j) { return i == j; });
    for (std::size_t j = 0; j < inputs.size(); ++j) {
      REQUIRE(all[j].defined());
      REQUIRE(alone[j].defined() == (i == j));
    }
    CHECK(alone[i].to_vector() == all[i].to_vector());
  }
}

/// Standard normals moved away from 0, where functors have kinks.
inline Tensor<double> off_zero(const Shape& shape, std::string_view name) {
  const auto x = numbers::normal(shape, name);
  for (double& v : x.span()) v += v > 0 ? 0.1 : -0.1;
  return x;
}

}  // namespace check
