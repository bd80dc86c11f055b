// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/crossing.hpp>
#include <hypersd/nn/module.hpp>

namespace hypersd::nn {

/// Wraps a denoiser of a 16-bit type as a denoiser in float32: samples, predictions, solver steps and losses around it
/// are float32, and the network computes in its own type (Micikevicius et al., 2018, "Mixed precision training"). A
/// consistency loss needs this: it is a small difference of large values, which 16 bits round away.
///
/// Conditions have the type of the network. Parameters get gradients of their own type; `optim::AdamW` keeps float32
/// masters of them. `autograd::cast_loss` turns a loss into one for a training loop of the parameters' type.
template <class Net>
requires Narrow<typename Net::value_type>
class MixedPrecision : public Wraps<Net> {
 public:
  using network_type = Net;
  using value_type = float;
  using device_type = typename Net::device_type;

  /// Refers to `net`, which must outlive it.
  explicit MixedPrecision(const Net& net) : net_(&net) {}
  [[nodiscard]] const auto& process_value() const requires HoldsProcess<Net> { return net_->process_value(); }

  /// `net(x, t, condition)` for x [B, ...] and times t [B].
  template <class Condition>
  [[nodiscard]] Var<float, device_type> operator()(const Var<float, device_type>& x,
                                                   const Tensor<float, device_type>& t,
                                                   const Condition& condition) const {
    using T = typename Net::value_type;
    const auto leaf = autograd::leaf<T>(x);
    return autograd::cross<float, T, device_type>((*net_)(leaf, t, condition), {x}, {leaf});
  }

 private:
  const Net* net_;
};

}  // namespace hypersd::nn
