// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/guidance.hpp>

/// \file
/// Guidance that a distilled student takes as an input (Meng et al., "On distillation of guided diffusion models";
/// latent consistency models): one evaluation a step instead of two, the scale reaching the network as w = scale - 1.

namespace hypersd::diffusion {

/// Sinusoidal features [B, dim] of guidance weights w [B]: sin(1000 w f_i) for all i, then cos, with
/// f_i = 10000^(-i / (half - 1)), half = dim / 2; an odd dim ends in a zero. Angles are computed in double, since they
/// reach 10^4. Throws ShapeError unless w has one axis, OptionError for dim < 4.
template <class T, class D>
Tensor<T, D> guidance_embedding(const Tensor<T, D>& w, std::int64_t dim = 256) {
  require<ShapeError>(w.rank() == 1, "guidance embedding: weights of shape ", w.shape(), ", [B] needed");
  require<OptionError>(dim >= 4, "guidance embedding: dim = ", dim, ", at least 4 needed");
  const std::int64_t half = dim / 2;
  std::vector<T> out;
  for (const T weight : w.to_vector()) {
    const auto angle = [&](std::int64_t i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(half - 1);
      return 1000 * static_cast<double>(weight) * std::pow(10000.0, -exponent);
    };
    for (std::int64_t i = 0; i < half; ++i) out.push_back(static_cast<T>(std::sin(angle(i))));
    for (std::int64_t i = 0; i < half; ++i) out.push_back(static_cast<T>(std::cos(angle(i))));
    if (dim % 2 != 0) out.push_back(T(0));
  }
  return Tensor<T, D>::from(Shape{w.size(), dim}, out);
}

/// A student's network with its guidance weights w [B] bound: takes (x, t, condition) like any other.
template <class N, class T, class D>
struct GuidedStudent {
  const N& net;
  const Tensor<T, D>& w;

  template <class X, class C>
  auto operator()(const X& x, const Tensor<T, D>& t, const C& condition) const -> decltype(net(x, t, condition, w)) {
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
