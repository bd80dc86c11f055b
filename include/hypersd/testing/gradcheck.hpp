// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <functional>
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

/// A function of variables, of any shapes, to one variable.
using GradcheckFunction = std::function<Var<double>(const std::vector<Var<double>>&)>;

namespace detail {

/// The part of `gradcheck` about tangents; `vars` have the gradients of sum(fn * weight).
inline void check_tangents(const GradcheckFunction& fn, const std::vector<Tensor<double>>& inputs,
                           const std::vector<Var<double>>& vars, const Tensor<double>& weight, double step,
                           double tolerance,
                           const std::function<void(const std::string&, double, double, double)>& compare) {
  const autograd::NoGrad guard;
  std::vector<Tensor<double>> directions;
  double by_gradient = 0, size = 1;
  for (std::size_t v = 0; v < inputs.size(); ++v) {
    directions.push_back(ops::normal<double>(inputs[v].shape(), stream(2 + v, "gradcheck")));
    for (std::int64_t i = 0; vars[v].grad().defined() && i < inputs[v].size(); ++i) {
      by_gradient += vars[v].grad()[i] * directions[v][i];
      size += std::abs(vars[v].grad()[i] * directions[v][i]);
    }
  }
  const auto at = [&](double distance, bool tangents) {
    std::vector<Var<double>> moved;
    for (std::size_t v = 0; v < inputs.size(); ++v) {
      moved.emplace_back(inputs[v].clone());
      for (std::int64_t i = 0; i < inputs[v].size(); ++i) moved[v].value()[i] += distance * directions[v][i];
      if (tangents) moved[v].set_tangent(directions[v]);
    }
    return fn(moved);
  };
  Var<double> out;
  try {
    out = at(0, true);
  } catch (const Error&) {  // without tangents it ran: an operation has no forward rule
    return;
  }
  const Var<double> ahead = at(step, false), behind = at(-step, false);
  double by_tangent = 0;
  for (std::int64_t i = 0; i < out.size(); ++i) {
    const double numeric = (ahead.value()[i] - behind.value()[i]) / (2 * step);
    const double analytic = out.has_tangent() ? out.tangent()[i] : 0.0;
    compare("tangent element " + std::to_string(i), analytic, numeric, 1 + std::abs(numeric));
    by_tangent += analytic * weight[i];
  }
  // No differences here: equal up to rounding.
  compare("<w, J d> against <J^T w, d>", by_tangent, by_gradient, size * std::min(1.0, 1e-10 / tolerance));
}

}  // namespace detail

/// Compares the gradient of sum(fn(inputs) * w), with random w, with central differences in double; and the tangent of
/// fn(inputs) along random directions d, with central differences and with the gradient: <w, J d> = <J^T w, d>. `fn`
/// maps a vector of variables to one variable of any shape. A number agrees when |analytic - numeric| <= tol * (1 +
/// |numeric|). Where `fn` has an operation without a forward rule, only gradients are compared.
inline GradcheckResult gradcheck(const GradcheckFunction& fn, const std::vector<Tensor<double>>& inputs,
                                 double tol = 1e-6, double step = 1e-5) {
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
  const auto compare = [&](const std::string& what, double analytic, double numeric, double scale) {
    const double error = std::abs(analytic - numeric) / scale;
    result.worst = std::max(result.worst, error);
    if (!(error <= tol) && result.ok) {
      result.ok = false;
      result.message = what + ": analytic " + std::to_string(analytic) + ", numeric " + std::to_string(numeric);
    }
  };
  for (std::size_t v = 0; v < inputs.size(); ++v) {
    for (std::int64_t i = 0; i < inputs[v].size(); ++i) {
      const double numeric = (loss_at(v, i, step) - loss_at(v, i, -step)) / (2 * step);
      const double analytic = vars[v].grad().defined() ? vars[v].grad()[i] : 0.0;
      compare("input " + std::to_string(v) + " element " + std::to_string(i), analytic, numeric, 1 + std::abs(numeric));
    }
  }
  detail::check_tangents(fn, inputs, vars, weight, step, tol, compare);
  return result;
}

}  // namespace hypersd::testing
