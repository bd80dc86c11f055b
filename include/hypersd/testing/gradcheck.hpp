// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/ops/random.hpp>
#include <string>
#include <vector>

namespace hypersd::testing {

/// Result of `gradcheck`.
struct GradcheckResult {
  bool ok = true;       ///< whether all elements agree
  double worst = 0;     ///< largest |analytic - numeric| / (1 + |numeric|)
  std::string message;  ///< the first element that does not agree
  explicit operator bool() const { return ok; }
};

/// Compares the gradient of sum(fn(inputs) * w), with random w, with central differences in double. `fn` maps a vector
/// of variables to one variable of any shape. An element agrees when |analytic - numeric| <= tol * (1 + |numeric|).
template <class Fn>
GradcheckResult gradcheck(Fn fn, const std::vector<Tensor<double>>& inputs, double tol = 1e-6, double step = 1e-5) {
  auto variables = [&] {
    std::vector<Var<double>> vars;
    for (const auto& t : inputs) vars.emplace_back(t.clone(), true);
    return vars;
  };
  auto vars = variables();
  const Var<double> out = fn(vars);
  const auto weight = ops::normal<double>(out.shape(), stream(1, "gradcheck"));
  autograd::backward(out, weight.clone());
  auto loss_at = [&](std::size_t which, std::int64_t i, double delta) {
    const autograd::NoGrad guard;
    auto shifted = variables();
    shifted[which].value()[i] += delta;
    const Var<double> y = fn(shifted);
    double total = 0;
    for (std::int64_t j = 0; j < y.size(); ++j) total += y.value()[j] * weight[j];
    return total;
  };
  GradcheckResult result;
  for (std::size_t v = 0; v < inputs.size(); ++v) {
    for (std::int64_t i = 0; i < inputs[v].size(); ++i) {
      const double numeric = (loss_at(v, i, step) - loss_at(v, i, -step)) / (2 * step);
      const double analytic = vars[v].grad().defined() ? vars[v].grad()[i] : 0.0;
      const double error = std::abs(analytic - numeric) / (1 + std::abs(numeric));
      result.worst = std::max(result.worst, error);
      if (!(error <= tol) && result.ok) {
        result.ok = false;
        result.message = "input " + std::to_string(v) + " element " + std::to_string(i) + ": analytic " +
                         std::to_string(analytic) + ", numeric " + std::to_string(numeric);
      }
    }
  }
  return result;
}

}  // namespace hypersd::testing
