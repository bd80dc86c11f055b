// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/mixture.hpp>
#include <hypersd/diffusion/process.hpp>
#include <hypersd/ops/affine_step.hpp>
#include <utility>

/// \file
/// Denoisers whose prediction is a function of an element alone. A solver step evaluates them itself: it reads x and
/// writes the next x, and nothing else is stored.

namespace hypersd::diffusion {

/// `net.element<A>(time)` is a host-device functor from an element of x_t at a process time to its prediction in A,
/// float or double. It takes x_t itself, without input scaling.
template <class N, class A>
concept ElementwiseDenoiser = requires(const N& net, Time time, A x) {
  { net.template element<A>(time)(x) } -> std::convertible_to<A>;
}
&&std::is_trivially_copyable_v<decltype(std::declval<const N&>().template element<A>(0))>;

/// sum_i q_i (offset_i + slope_i x) with q = softmax(bias_i - precision_i (x - centre_i)^2 / 2): the posterior mean of
/// anything affine under a mixture of Gaussians.
template <Real A>
struct MixturePrediction {
  static constexpr int most = 8;
  int count = 0;
  A bias[most], centre[most], precision[most], offset[most], slope[most];

  HYPERSD_HD A operator()(A x) const {
    if (count == 1) return offset[0] + slope[0] * x;
    A largest = term(0, x);
    for (int i = 1; i < count; ++i) {
      const A t = term(i, x);
      largest = t > largest ? t : largest;
    }
    A weights = 0, sum = 0;
    for (int i = 0; i < count; ++i) {
      const A q = math::exp(term(i, x) - largest);
      weights += q;
      sum += q * (offset[i] + slope[i] * x);
    }
    return sum / weights;
  }

 private:
  [[nodiscard]] HYPERSD_HD A term(int i, A x) const {
    const A d = x - centre[i];
    return bias[i] - A(0.5) * precision[i] * d * d;
  }
};

/// The optimal denoiser of data whose elements are independent draws from one scalar mixture (of one component: normal
/// data), for x of any shape: the closed form of `AnalyticDenoiser`, element by element.
template <DiffusionProcess Pr = Discrete<>>
class IndependentDenoiser {
 public:
  using process = Pr;
  /// Throws OptionError unless the mixture has one dimension and at most 8 components.
  IndependentDenoiser(Pr of, Mixture mixture) : process_(std::move(of)), mixture_(std::move(mixture)) {
    require<OptionError>(mixture_.dimensions() == 1 && mixture_.components().size() <= MixturePrediction<float>::most,
                         "independent denoiser: a mixture of ", mixture_.components().size(), " components in ",
                         mixture_.dimensions(), " dimensions; needed are at most ", MixturePrediction<float>::most,
                         " in one dimension");
  }

  /// Prediction of an element at a time: with S_i = alpha^2 c_i^2 + sigma^2, component i says
  /// eps = sigma (x - alpha m_i) / S_i and x0 = m_i + alpha c_i^2 (x - alpha m_i) / S_i.
  template <Real A>
  [[nodiscard]] MixturePrediction<A> element(Time time) const {
    const Level l = process_.level(time);
    const Target w = process_.prediction().target(l);
    MixturePrediction<A> out{};
    for (const Component& c : mixture_.components()) {
      const double variance = l.alpha * l.alpha * c.deviation * c.deviation + l.sigma * l.sigma;
      const double centre = l.alpha * c.mean[0];
      const double slope = (w.x0 * l.alpha * c.deviation * c.deviation + w.eps * l.sigma) / variance;
      const int i = out.count++;
      out.bias[i] = static_cast<A>(std::log(c.weight) - 0.5 * std::log(variance));
      out.centre[i] = static_cast<A>(centre);
      out.precision[i] = static_cast<A>(1 / variance);
      out.offset[i] = static_cast<A>(w.x0 * c.mean[0] - slope * centre);
      out.slope[i] = static_cast<A>(slope);
    }
    return out;
  }

  /// The same as a network, x [B, ...] at times t [B].
  template <class T>
  Tensor<T> operator()(const Tensor<T>& x, const Numbers<T>& t, const Unconditional&) const {
    using A = Accumulator<T>;
    require<ShapeError>(x.rank() > 0 && x.dim(0) == t.size(), "independent denoiser: x ", x.shape(), ", t ", t.shape());
    Tensor<T> out(x.shape());
    const std::int64_t inner = t.size() == 0 ? 0 : x.size() / t.size();
    for (std::int64_t b = 0; b < t.size(); ++b) {
      const Time time = process_.process_time(static_cast<double>(t[b]));
      const auto f = element<A>(time);
      const A unscale = static_cast<A>(1 / process_.input_scale(time));
      for (std::int64_t i = b * inner; i < (b + 1) * inner; ++i)
        out[i] = static_cast<T>(f(Pr::scales_input ? unscale * static_cast<A>(x[i]) : static_cast<A>(x[i])));
    }
    return out;
  }

  [[nodiscard]] const Pr& process_value() const { return process_; }

 private:
  Pr process_;
  Mixture mixture_;
};

}  // namespace hypersd::diffusion
