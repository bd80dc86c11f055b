// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <utility>

/// \file
/// Networks asked at times of a process: they are given its input scaling and its time, and must be networks of it.

namespace hypersd::diffusion {

/// What a network is given beside x at some times of its process: one number a sample, on the device.
template <class T, class D>
struct NetworkTimes {
  Numbers<T, D> time;   ///< the network's own, [B]
  Numbers<T, D> scale;  ///< of its input, [B]; undefined for processes that do not scale it

  [[nodiscard]] Tensor<T, D> input(const Tensor<T, D>& x) const {
    return scale.defined() ? ops::map(ops::Mul{}, x, ops::per_sample(scale)) : x;
  }
  [[nodiscard]] Var<T, D> input(const Var<T, D>& x) const {
    return scale.defined() ? autograd::mul(x, ops::per_sample(scale)) : x;
  }
};
/// The same for times t of `process`.
template <class T, class D, DiffusionProcess Process>
NetworkTimes<T, D> network_times(const Process& process, const Times& t) {
  NetworkTimes<T, D> out{time_tensor<T, D>(process, t), {}};
  if constexpr (Process::scales_input) {
    std::vector<double> scales;
    for (const Time one : t) scales.push_back(process.input_scale(one));
    out.scale = sample_scales<T, D>(scales);
  }
  return out;
}
/// input_scale(t) x of each sample, differentiable where x is a variable; x itself for processes without.
template <DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> network_input(const Process& process, const Batch<T, D>& x, const Times& t) {
  if constexpr (Process::scales_input)
    return network_times<T, D>(process, t).input(x);
  else
    return x;
}

/// The prediction of `net` at x [B, ...] and times t, differentiable in x and its parameters. `rest` are further inputs
/// of the network. Throws OptionError for a network of another process; where types tell, it does not compile.
template <DiffusionProcess Process, class Net, class T, class D, class C, class... Rest>
Var<T, D> evaluate(const Process& process, const Net& net, const Var<T, D>& x, const NetworkTimes<T, D>& t,
                   const C& condition, const Rest&... rest) {
  detail::require_same_process(process, "student", net);
  if constexpr (sizeof...(Rest) == 0) static_assert((detail::require_student<Net, T, D, C>(), true));
  return net(t.input(x), t.time, condition, rest...);
}
/// The same at process times.
template <DiffusionProcess Process, class Net, class T, class D, class C, class... Rest>
Var<T, D> evaluate(const Process& process, const Net& net, const Var<T, D>& x, const Times& t, const C& condition,
                   const Rest&... rest) {
  return evaluate(process, net, x, network_times<T, D>(process, t), condition, rest...);
}

/// The prediction as a tensor; no tape is recorded. Throws ShapeError unless it has x's shape, and as `evaluate`.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predict(const Process& process, const Net& net, const Tensor<T, D>& x, const NetworkTimes<T, D>& t,
                     const C& condition) {
  detail::require_same_process(process, "network", net);
  return predict(net, t.input(x), t.time, condition);
}
/// The same at process times.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predict(const Process& process, const Net& net, const Tensor<T, D>& x, const Times& t,
                     const C& condition) {
  return predict(process, net, x, network_times<T, D>(process, t), condition);
}

/// The guided prediction, as a teacher's step needs it: sample b has scale `scales[b]` (g form). Only the conditional
/// branch runs if all scales are at most 1.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predict_guided(const Process& process, const Net& net, const Tensor<T, D>& x, const Times& t,
                            const GuidedCondition<C>& condition, const std::vector<double>& scales,
                            double rescale = 0) {
  detail::require_same_process(process, "teacher", net);
  const NetworkTimes<T, D> at = network_times<T, D>(process, t);
  return predict_guided(net, at.input(x), at.time, condition, scales, rescale);
}
/// The same with the weights of both branches on the device. Without `both` the conditional one alone runs, whatever
/// they are.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predict_guided(const Process& process, const Net& net, const Tensor<T, D>& x, const NetworkTimes<T, D>& t,
                            const GuidedCondition<C>& condition, const SampleWeights<T, D>& weights, bool both) {
  detail::require_same_process(process, "teacher", net);
  return combine_branches(predict_branches(net, t.input(x), t.time, condition, both), weights);
}

}  // namespace hypersd::diffusion
