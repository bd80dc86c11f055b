// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/feedback/reward.hpp>
#include <string>
#include <tuple>
#include <utility>

namespace hypersd::feedback {

/// weight * mean ReLU(alpha - r): raises the reward r of pictures that are below `alpha` and leaves the others alone,
/// whose gradient is exactly zero. [Hyper-SD Eq. 13, one addend; with alpha = 2 and weight 1e-3 the loss of ReFL]
///
/// Diagnostics: the mean reward as `name`, and the share of samples still below alpha as `name.below`.
template <class R>
struct Hinge {
  R reward;
  double alpha = 2;      ///< in the reward's units: 2 for ImageReward's standardised score, about 6.5 for LAION's
  double weight = 1e-3;  ///< at least 0
  std::string name = "reward";

  /// Loss [1] of pictures [B, H, W, C]. Throws OptionError for an alpha or weight out of range, and what `scores`
  /// throws.
  template <class T, class D, class C>
  diffusion::LossResult<T, D> operator()(const Var<T, D>& images, const C& condition) const {
    constexpr bool scored = Reward<R, T, D, C>;
    static_assert(scored,
                  "Hinge needs a Reward: reward(images, condition) const gives a Var [B] for images Var [B, H, W, C]");
    diffusion::LossResult<T, D> out;
    if constexpr (scored) {
      require<OptionError>(std::isfinite(alpha) && std::isfinite(weight) && weight >= 0, "hinge '", name,
                           "': alpha = ", alpha, ", weight = ", weight);
      const Var<T, D> r = scores(reward, images, condition);
      const auto missing = autograd::relu(autograd::affine(r, -1, static_cast<Accumulator<T>>(alpha)));
      out.loss = autograd::affine(autograd::mean(missing), static_cast<Accumulator<T>>(weight));
      const auto mean_of = [scored = r.value()](auto number) {
        return [=] {
          double sum = 0;
          for (const T v : scored.to_vector()) sum += number(v);
          return sum / static_cast<double>(scored.size());
        };
      };
      out.diagnostics = {{name, mean_of([](T v) { return static_cast<double>(v); })},
                         {name + ".below", mean_of([limit = static_cast<Accumulator<T>>(alpha)](T v) {
                            return v < limit ? 1.0 : 0.0;
                          })}};
    }
    return out;
  }
};
template <class R>
Hinge(R) -> Hinge<R>;
template <class R>
Hinge(R, double) -> Hinge<R>;
template <class R>
Hinge(R, double, double) -> Hinge<R>;
template <class R>
Hinge(R, double, double, std::string) -> Hinge<R>;

/// The sum (not the mean) of hinges on the same pictures, with the diagnostics of all. [Hyper-SD Eq. 13]
template <class... R>
struct Hinges {
  static_assert(sizeof...(R) > 0, "Hinges without a Hinge");
  std::tuple<Hinge<R>...> terms;

  explicit Hinges(Hinge<R>... hinge) : terms(std::move(hinge)...) {}

  template <class T, class D, class C>
  diffusion::LossResult<T, D> operator()(const Var<T, D>& images, const C& condition) const {
    diffusion::LossResult<T, D> out;
    const auto add = [&](const auto& hinge) {
      auto one = hinge(images, condition);
      for (auto& d : one.diagnostics) out.diagnostics.push_back(std::move(d));
      out.loss = out.loss.defined() ? autograd::add(out.loss, one.loss) : one.loss;
    };
    std::apply([&](const auto&... hinge) { (add(hinge), ...); }, terms);
    return out;
  }
};

}  // namespace hypersd::feedback
