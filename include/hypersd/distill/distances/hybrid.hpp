// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/distance.hpp>
#include <string>

namespace hypersd::distill {

/// Weights of the two parts of a `Hybrid`.
struct HybridWeights {
  double first = 1, second = 0;
};

/// The adversarial distance beside MSE as the segments grow: MSE alone down to k = 4, then a critic of weight
/// `adversarial` / 3 at k = 2 or 3 and `adversarial` at k = 1. The weight of MSE is 1 in all stages: it never falls.
/// The paper gives a direction and no numbers; what weight suits depends on the scale of the first distance. Throws
/// OptionError for k below 1 or a negative weight.
inline HybridWeights hybrid_weights(int k, double adversarial = 3e-3) {
  require<OptionError>(k >= 1, "hybrid_weights: k = ", k);
  require<OptionError>(adversarial >= 0, "hybrid_weights: weight ", adversarial, " of the critic");
  return {1.0, k >= 4 ? 0.0 : k >= 2 ? adversarial / 3 : adversarial};
}

/// first.weight * first + second.weight * second. A part of weight 0 is not computed, so the other's gradient is then
/// exactly that of the other alone (times its weight).
template <class First, class Second>
struct Hybrid {
  First first;
  Second second;
  HybridWeights weights;
  template <class T, class D, class Where>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>& y, const Where& where) const {
    require<OptionError>(weights.first >= 0 && weights.second >= 0 && weights.first + weights.second > 0,
                         "Hybrid distance: weights ", weights.first, " and ", weights.second);
    using A = Accumulator<T>;
    auto scaled = [](const Var<T, D>& v, double w) { return w == 1 ? v : autograd::affine(v, static_cast<A>(w)); };
    if (weights.second == 0) return scaled(first(x, y, where), weights.first);
    if (weights.first == 0) return scaled(second(x, y, where), weights.second);
    return autograd::linear_combination(static_cast<A>(weights.first), first(x, y, where),
                                        static_cast<A>(weights.second), second(x, y, where));
  }
  /// Whether a part of positive weight trains something.
  [[nodiscard]] bool learns() const {
    return (weights.first > 0 && trains(first)) || (weights.second > 0 && trains(second));
  }
  /// What the parts of positive weight train.
  template <class T, class D, class Where, class Average = OwnGradients>
  requires(LearningDistance<First, T, D, Where> ||
           LearningDistance<Second, T, D, Where>) void learn(const Tensor<T, D>& x, const Tensor<T, D>& y,
                                                             const Where& where, const Average& average = {}) const {
    if constexpr (LearningDistance<First, T, D, Where>)
      if (weights.first > 0) first.learn(x, y, where, average);
    if constexpr (LearningDistance<Second, T, D, Where>)
      if (weights.second > 0) second.learn(x, y, where, average);
  }
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    if constexpr (requires { first.visit_state(f, prefix); }) first.visit_state(f, prefix + "first.");
    if constexpr (requires { second.visit_state(f, prefix); }) second.visit_state(f, prefix + "second.");
  }
};

}  // namespace hypersd::distill
