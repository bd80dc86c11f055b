// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_gather.hpp>
#include <hypersd/nn/module.hpp>

namespace hypersd::nn {

/// A trainable table of `entries` vectors [entries, channels], initialized from N(0, deviation^2).
template <Scalar T, Device D = Cpu>
struct Embedding {
  using value_type = T;
  using device_type = D;

  Parameter<T, D> weight;

  Embedding() = default;
  Embedding(std::int64_t entries, std::int64_t channels, double deviation = 1)
      : weight(Shape{entries, channels}, Initializer::normal(deviation)) {}
  /// ids [B, L] in [0, entries) -> [B, L, C].
  Var<T, D> operator()(const Tensor<std::int32_t, D>& ids) const {
    if constexpr (Parameter<T, D>::can_keep)
      if (weight.kept().defined()) return autograd::embedding(weight.kept(), ids);
    return autograd::embedding(weight.get(), ids);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "weight", weight);
  }
};

}  // namespace hypersd::nn
