// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <type_traits>

namespace hypersd::pipeline {

/// Loss of one training step and numbers to log beside it. A step function may also return the bare loss.
template <Floating T, Device D = Cpu>
struct StepResult {
  Var<T, D> loss;
  Diagnostics diagnostics{};
};

/// The loss of what a step function returned; its diagnostics are added to `diagnostics`.
template <Floating T, Device D, class Result>
const Var<T, D>& loss_of(const Result& result, Diagnostics& diagnostics) {
  if constexpr (std::is_same_v<Result, Var<T, D>>) {
    return result;
  } else {
    for (const auto& [name, value] : result.diagnostics) diagnostics.emplace_back(name, static_cast<double>(value));
    return result.loss;
  }
}

}  // namespace hypersd::pipeline
