// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/process.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/feedback/hinge.hpp>

#include "distill/golden.hpp"

namespace toy {

inline diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }
inline diffusion::Discrete<> process() { return table(); }

/// A network with one output at time 0 as the reward of pictures [B, pixels].
struct NetworkReward {
  Mlp net;
  Var<double> operator()(const Var<double>& images, const Tensor<double>& condition) const {
    return autograd::reshape(net(images, Tensor<double>::zeros(condition.shape()), condition), condition.shape());
  }
};
/// tanh(x W^T + b).
struct TanhDecoder {
  Var<double> w, b;
  Var<double> operator()(const Var<double>& x) const { return autograd::tanh(autograd::linear(x, w, b)); }
};

/// tests/golden/golden_feedback.py: its networks and hinges.
struct FeedbackGolden : Golden {
  FeedbackGolden() : Golden("feedback") {}
  [[nodiscard]] TanhDecoder decoder() const {
    return {Var<double>(values("decoder.w")), Var<double>(values("decoder.b"))};
  }
  [[nodiscard]] auto hinges() const {
    using feedback::Hinge, feedback::Hinges;
    return Hinges(Hinge{NetworkReward{network("first")}, 1.0, 0.5, "first"},
                  Hinge{NetworkReward{network("second")}, 1.5, 2.0, "second"});
  }
};

}  // namespace toy
