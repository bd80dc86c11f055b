// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_matmul.hpp>

#include <cmath>
#include <numbers>
#include <vector>

namespace toy {

using namespace hypersd;

/// eps = w2 silu(w1 [x, sin(pi t / 1000), cos(pi t / 1000), c] + b1) + b2, the network of
/// tests/golden/golden_distill.py.
struct Mlp {
  Var<double> w1, b1, w2, b2;

  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Tensor<double>& c) const {
    const std::int64_t batch = x.dim(0);
    Tensor<double> extra(Shape{batch, 3});
    for (std::int64_t b = 0; b < batch; ++b) {
      const double angle = std::numbers::pi * t[b] / 1000;
      extra[3 * b] = std::sin(angle);
      extra[3 * b + 1] = std::cos(angle);
      extra[3 * b + 2] = c[b];
    }
    const auto in = autograd::concat_channels(std::vector<Var<double>>{x, Var<double>(extra)});
    return autograd::linear(autograd::silu(autograd::linear(in, w1, b1)), w2, b2);
  }
  [[nodiscard]] std::vector<std::pair<const char*, Var<double>>> parameters() const {
    return {{"w1", w1}, {"b1", b1}, {"w2", w2}, {"b2", b2}};
  }
};

}  // namespace toy
