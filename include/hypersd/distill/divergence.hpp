// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>

namespace hypersd::distill {

/// Which divergence of the data's distribution p and the student's q matching descends (Xu et al., "One-step diffusion
/// models with f-divergence distribution matching"). The direction of the reverse KL divergence is multiplied with h of
/// r = p / q, r^2 f''(r) up to a factor.
enum class Divergence {
  reverse_kl,           ///< 1: distribution matching as first published
  softened_reverse_kl,  ///< 1 / (1 + r)
  jensen_shannon,       ///< r / (1 + r)
  squared_hellinger,    ///< sqrt(r)
  forward_kl,           ///< r: covers modes, of high variance
  jeffreys,             ///< 1 + r
  neyman                ///< 1 / r
};

/// h of the sum of a critic's logits, whose mean is ln r, with r cut to [low, high].
struct DivergenceWeight {
  Divergence divergence = Divergence::reverse_kl;
  double low = 0.1, high = 20, logits = 1;  ///< bounds of r, and logits a sample
  template <class T>
  HYPERSD_HD T operator()(T sum) const {
    const T logit = sum / T(logits), bounded = logit < T(-10) ? T(-10) : logit > T(10) ? T(10) : logit;
    const T e = math::exp(bounded), r = e < T(low) ? T(low) : e > T(high) ? T(high) : e;
    switch (divergence) {
      case Divergence::softened_reverse_kl: return T(1) / (T(1) + r);
      case Divergence::jensen_shannon: return r / (T(1) + r);
      case Divergence::squared_hellinger: return math::sqrt(r);
      case Divergence::forward_kl: return r;
      case Divergence::jeffreys: return T(1) + r;
      case Divergence::neyman: return T(1) / r;
      default: return T(1);
    }
  }
};

/// h over the mean of `samples` of them with this sum.
struct OverMean {
  double samples;
  template <class T>
  HYPERSD_HD T operator()(T h, T sum) const {
    return h * T(samples) / sum;
  }
};

}  // namespace hypersd::distill
