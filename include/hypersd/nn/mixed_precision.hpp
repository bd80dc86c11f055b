// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/crossing.hpp>

namespace hypersd::nn {

/// A denoiser of 16-bit elements as one in float: noisy samples, predictions, steps and losses around it are float, the
/// network computes in its own type (Micikevicius et al., 2018, "Mixed precision training"). A consistency loss, a
/// difference of near equals, drowns in the roundings of 16 bits otherwise.
///
/// Conditions are the network's own. Gradients reach its parameters in their type; `optim::AdamW` keeps masters of
/// them. A loss of it becomes one for a training loop of the parameters' type by `autograd::cast_loss`.
template <class Net>
requires Narrow<typename Net::value_type>
class MixedPrecision {
 public:
  using network_type = Net;
  using value_type = float;
  using device_type = typename Net::device_type;

  /// Refers to `net`, which must outlive it.
  explicit MixedPrecision(const Net& net) : net_(&net) {}

  /// `net(x, t, condition)` for x [B, ...] and times t [B].
  template <class Condition>
  [[nodiscard]] Var<float, device_type> operator()(const Var<float, device_type>& x,
                                                   const Tensor<float, device_type>& t,
                                                   const Condition& condition) const {
    using T = typename Net::value_type;
    const Var<T, device_type> leaf(ops::cast<T>(x.value()), x.tracked());
    return autograd::cross<float, T, device_type>((*net_)(leaf, t, condition), {x}, {leaf});
  }

 private:
  const Net* net_;
};

}  // namespace hypersd::nn
