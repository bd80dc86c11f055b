// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/adapter.hpp>

namespace hypersd::nn {

/// y = x W^T + b over the last axis.
template <Scalar T, Device D = Cpu>
struct Linear : AdaptedLayer<T, D> {
  Linear() = default;
  Linear(std::int64_t in, std::int64_t out, bool with_bias = true) {
    this->weight = {Shape{out, in}, Initializer::fan_in(in)};
    if (with_bias) this->bias = {Shape{out}, Initializer::fan_in(in)};
  }
  /// x [..., in] -> [..., out].
  Var<T, D> operator()(const Var<T, D>& x) const {
    return this->apply(x, [](const auto& in, const auto& w, const auto& b) { return autograd::linear(in, w, b); });
  }
};

}  // namespace hypersd::nn
