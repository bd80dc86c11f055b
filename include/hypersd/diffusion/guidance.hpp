// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/math.hpp>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/sample_scales.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/reduce.hpp>
#include <type_traits>
#include <vector>

/// \file
/// Classifier-free guidance (Ho and Salimans): e = e_u + g (e_c - e_u). The result is affine in the two predictions, so
/// it may be taken in any prediction type, and a sampler folds it into its step. g <= 1 means the conditional branch
/// alone; it is never the unconditional one. In the w form of latent consistency models, g = w + 1.

namespace hypersd::diffusion {

/// A condition with the null condition of the same batch.
template <class Condition>
struct GuidedCondition {
  Condition conditional, null;
};
template <class Condition>
GuidedCondition(Condition, Condition) -> GuidedCondition<Condition>;

/// guided = conditional * e_c + unconditional * e_u.
struct GuidanceWeights {
  double conditional = 1, unconditional = 0;
};

/// Weights of scale g; the conditional branch alone for g <= 1. Throws OptionError for a scale that is not finite.
inline GuidanceWeights guidance_weights(double scale) {
  require<OptionError>(std::isfinite(scale), "guidance scale ", scale, " is not finite");
  return scale <= 1 ? GuidanceWeights{} : GuidanceWeights{scale, 1 - scale};
}

/// Guidance scale g of the w form e_c + w (e_c - e_u).
constexpr double scale_of_w(double w) { return w + 1; }

/// Predictions of both branches; `unconditional` is undefined if it was not evaluated.
template <class T, class D>
struct Branches {
  Tensor<T, D> conditional, unconditional;
};

namespace detail {

template <class C>
concept ConcatenatedByName = requires(const C& c) {
  { concat_batch(c, c) } -> std::convertible_to<C>;
};
template <class C>
inline constexpr bool is_tensor = false;
template <class T, class D>
inline constexpr bool is_tensor<Tensor<T, D>> = true;
template <class C>
inline constexpr bool is_guided = false;
template <class C>
inline constexpr bool is_guided<GuidedCondition<C>> = true;

/// Conditions that two branches can share a batch with: those with `concat_batch(a, b)`, tensors, empty structs.
template <class C>
concept Concatenated = ConcatenatedByName<C> || is_tensor<C> || std::is_empty_v<C>;

template <Concatenated C>
C concatenate(const C& a, const C& b) {
  if constexpr (std::is_empty_v<C>)
    return a;
  else if constexpr (is_tensor<C>)
    return ops::concat_first(a, b);
  else
    return concat_batch(a, b);
}

}  // namespace detail

/// Predictions under the condition and, if `both`, under the null condition: one batch of 2 B where the condition type
/// can be joined (it has a free function `concat_batch(a, b)`, is a tensor, or is empty), else two calls.
template <class N, class T, class D, class C>
Branches<T, D> predict_branches(const N& net, const Tensor<T, D>& x, const Numbers<T, D>& t,
                                const GuidedCondition<C>& condition, bool both = true) {
  if (!both) return {predict(net, x, t, condition.conditional), {}};
  if constexpr (detail::Concatenated<C>) {
    const std::int64_t batch = x.dim(0);
    const Tensor<T, D> joined = predict(net, ops::concat_first(x, x), ops::concat_first(t, t),
                                        detail::concatenate(condition.conditional, condition.null));
    return {joined.slice(0, batch), joined.slice(batch, 2 * batch)};
  } else {
    return {predict(net, x, t, condition.conditional), predict(net, x, t, condition.null)};
  }
}

/// The weights of each sample on the device, [B] each.
template <class T, class D>
struct SampleWeights {
  Numbers<T, D> conditional, unconditional;
};
/// Copies one pair of weights for each sample to the device.
template <class T, class D>
SampleWeights<T, D> sample_weights(const std::vector<GuidanceWeights>& weights) {
  std::vector<double> c, u;
  for (const GuidanceWeights& w : weights) {
    c.push_back(w.conditional);
    u.push_back(w.unconditional);
  }
  return {sample_scales<T, D>(c), sample_scales<T, D>(u)};
}

/// phi std(e_c) / std(e) + 1 - phi of one sample from the sums of squares and products of its centred branches.
struct RescaleFactor {
  double phi;
  template <class T>
  HYPERSD_HD T operator()(T cc, T uu, T cu, T conditional, T unconditional) const {
    const auto c = static_cast<double>(conditional), u = static_cast<double>(unconditional);
    const double own = static_cast<double>(cc);
    const double guided = c * c * own + u * u * static_cast<double>(uu) + 2 * c * u * static_cast<double>(cu);
    return static_cast<T>(guided > 0 ? phi * math::sqrt(own / guided) + 1 - phi : 1.0);
  }
};

/// Factors, one a sample, that bring the guided prediction's standard deviation towards that of the conditional one:
/// phi std(e_c) / std(e) + 1 - phi, std unbiased over a sample (Lin et al., section 3.4). Works from moments of the two
/// branches, so the guided prediction need not exist yet. Throws OptionError for phi outside [0, 1].
template <class T, class D>
Numbers<T, D> rescale_factors(const Branches<T, D>& e, const SampleWeights<T, D>& weights, double phi) {
  require<OptionError>(phi >= 0 && phi <= 1, "guidance: rescale = ", phi, " is not in [0, 1]");
  const double n = static_cast<double>(e.conditional.size()) / static_cast<double>(e.conditional.dim(0));
  using A = Accumulator<T>;
  const auto centred = [&](const Tensor<T, D>& branch) {
    const Tensor<A, D> a = ops::cast<A>(branch), mean = ops::sum_to_samples(a), out(a.shape());
    ops::map_into(mean, ops::Affine<A>{static_cast<A>(1 / n), A(0)}, mean);
    ops::map_into(out, ops::Sub{}, a, ops::per_sample(mean));
    return out;
  };
  const Tensor<A, D> c = centred(e.conditional), u = centred(e.unconditional);
  return ops::map(RescaleFactor{phi}, ops::sum_to_samples(ops::map(ops::Mul{}, c, c)),
                  ops::sum_to_samples(ops::map(ops::Mul{}, u, u)), ops::sum_to_samples(ops::map(ops::Mul{}, c, u)),
                  weights.conditional, weights.unconditional);
}

/// The guided prediction of both branches; the conditional one if the other was not evaluated. `rescale` = phi.
template <class T, class D>
Tensor<T, D> combine_branches(const Branches<T, D>& e, const SampleWeights<T, D>& weights, double rescale = 0) {
  if (!e.unconditional.defined()) return e.conditional;
  Numbers<T, D> a = weights.conditional, b = weights.unconditional;
  if (rescale != 0) {
    const Numbers<T, D> factors = rescale_factors(e, weights, rescale);
    a = ops::map(ops::Mul{}, factors, a);
    b = ops::map(ops::Mul{}, factors, b);
  }
  return ops::map(ops::Combine{}, e.conditional, e.unconditional, ops::per_sample(a), ops::per_sample(b));
}

/// No guidance: the conditional prediction as it is.
struct NoGuidance {
  struct Options {};
  static constexpr bool guided = false;
  Options options{};
};

/// Guidance by `scale`; `rescale` = phi in [0, 1] damps the contrast that large scales add.
struct ClassifierFree {
  struct Options {
    double scale = 7.5, rescale = 0;
  };
  static constexpr bool guided = true;
  Options options{};
};

/// How a sampler treats the condition.
template <class G>
concept Guidance = std::default_initializable<G> && requires {
  typename G::Options;
  {G{typename G::Options{}}};
  { G::guided } -> std::convertible_to<bool>;
};
static_assert(Guidance<NoGuidance> && Guidance<ClassifierFree>);

/// The guided prediction itself, as a teacher's step needs it: sample b has scale `scales[b]` (g form). Only the
/// conditional branch runs if all scales are at most 1.
template <class N, class T, class D, class C>
Tensor<T, D> predict_guided(const N& net, const Tensor<T, D>& x, const Numbers<T, D>& t,
                            const GuidedCondition<C>& condition, const std::vector<double>& scales,
                            double rescale = 0) {
  require<ShapeError>(x.rank() > 0 && static_cast<std::int64_t>(scales.size()) == x.dim(0),
                      "predict_guided: ", scales.size(), " scales for a batch of shape ", x.shape());
  std::vector<GuidanceWeights> weights;
  for (const double g : scales) weights.push_back(guidance_weights(g));
  const bool both = std::any_of(weights.begin(), weights.end(), [](const auto& w) { return w.unconditional != 0; });
  const Branches<T, D> e = predict_branches(net, x, t, condition, both);
  return both ? combine_branches(e, sample_weights<T, D>(weights), rescale) : e.conditional;
}

}  // namespace hypersd::diffusion
