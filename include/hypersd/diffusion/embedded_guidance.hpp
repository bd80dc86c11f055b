// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/nn/guidance_embedding.hpp>
#include <hypersd/nn/module.hpp>

/// \file
/// Guidance that a distilled student takes as an input (Meng et al., "On distillation of guided diffusion models";
/// latent consistency models): one evaluation a step instead of two, the scale reaching the network as w = scale - 1.

namespace hypersd::diffusion {

using nn::guidance_embedding;

/// A student's network with its guidance weights w [B] bound: takes (x, t, condition) like any other.
template <class N, class T, class D>
struct GuidedStudent : nn::Wraps<N> {
  const N& net;
  const Numbers<T, D>& w;
  GuidedStudent(const N& n, const Numbers<T, D>& weights) : net(n), w(weights) {}
  [[nodiscard]] const auto& process_value() const requires nn::HoldsProcess<N> { return net.process_value(); }

  template <class X, class C>
  auto operator()(const X& x, const Numbers<T, D>& t, const C& condition) const -> decltype(net(x, t, condition, w)) {
    return net(x, t, condition, w);
  }
};

/// Guidance by `scale` through the network's own input: the sampler calls `net(x, t, condition, w)`, w [B] = scale - 1.
/// As everywhere, a scale of at most 1 means none: w = 0.
struct EmbeddedGuidance {
  struct Options {
    double scale = 7.5;
  };
  static constexpr bool guided = false;  ///< one branch
  static constexpr bool embedded = true;
  Options options{};
};
static_assert(Guidance<EmbeddedGuidance>);

namespace detail {

template <class G>
concept EmbedsGuidance = requires {
  requires G::embedded;
};

}  // namespace detail

}  // namespace hypersd::diffusion
