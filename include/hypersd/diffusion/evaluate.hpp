// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <utility>

/// \file
/// Networks asked at times of a process: they are given its input scaling and its time, and must be networks of it.

namespace hypersd::diffusion {

/// input_scale(t) x of each sample; x itself for processes without.
template <DiffusionProcess Process, class T, class D>
Tensor<T, D> network_input(const Process& process, const Tensor<T, D>& x, const Times& t) {
  if constexpr (Process::scales_input) {
    std::vector<double> scales;
    for (const Time one : t) scales.push_back(process.input_scale(one));
    return ops::map(ops::Mul{}, x, ops::per_sample(sample_scales<T, D>(scales)));
  } else {
    return x;
  }
}
/// The same, differentiable in x.
template <DiffusionProcess Process, class T, class D>
Var<T, D> network_input(const Process& process, const Var<T, D>& x, const Times& t) {
  if constexpr (Process::scales_input) {
    std::vector<double> scales;
    for (const Time one : t) scales.push_back(process.input_scale(one));
    return autograd::mul(x, ops::per_sample(sample_scales<T, D>(scales)));
  } else {
    return x;
  }
}

/// The prediction of `net` at x [B, ...] and times t, differentiable in x and its parameters. `rest` are further inputs
/// of the network. Throws OptionError for a network of another process; where types tell, it does not compile.
template <DiffusionProcess Process, class Net, class T, class D, class C, class... Rest>
Var<T, D> evaluate(const Process& process, const Net& net, const Var<T, D>& x, const Times& t, const C& condition,
                   const Rest&... rest) {
  detail::require_same_process(process, "student", net);
  if constexpr (sizeof...(Rest) == 0) static_assert((detail::require_student<Net, T, D, C>(), true));
  return net(network_input(process, x, t), time_tensor<T, D>(process, t), condition, rest...);
}

/// The prediction as a tensor; no tape is recorded. Throws ShapeError unless it has x's shape, and as `evaluate`.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predict(const Process& process, const Net& net, const Tensor<T, D>& x, const Times& t,
                     const C& condition) {
  detail::require_same_process(process, "network", net);
  return predict(net, network_input(process, x, t), time_tensor<T, D>(process, t), condition);
}

/// The guided prediction, as a teacher's step needs it: sample b has scale `scales[b]` (g form). Only the conditional
/// branch runs if all scales are at most 1.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predict_guided(const Process& process, const Net& net, const Tensor<T, D>& x, const Times& t,
                            const GuidedCondition<C>& condition, const std::vector<double>& scales,
                            double rescale = 0) {
  detail::require_same_process(process, "teacher", net);
  return predict_guided(net, network_input(process, x, t), time_tensor<T, D>(process, t), condition, scales, rescale);
}

}  // namespace hypersd::diffusion
