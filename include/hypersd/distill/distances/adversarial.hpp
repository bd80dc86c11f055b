// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/distance.hpp>

namespace hypersd::distill {

/// -x, and the hinges relu(1 - x), relu(1 + x).
struct HingeReal {
  template <class T>
  HYPERSD_HD T operator()(T x) const { return x < T(1) ? T(1) - x : T(0); }
  template <int I, class T>
  HYPERSD_HD T d(T x) const { return x < T(1) ? T(-1) : T(0); }
};
struct HingeFake {
  template <class T>
  HYPERSD_HD T operator()(T x) const { return x > T(-1) ? T(1) + x : T(0); }
  template <int I, class T>
  HYPERSD_HD T d(T x) const { return x > T(-1) ? T(1) : T(0); }
};

/// Loss of a critic on targets ("real") and the student's jumps ("fake"), hinge form: mean relu(1 - real) +
/// mean relu(1 + fake) over all logits. Both sets of samples must be detached from the student.
template <class T, class D>
Var<T, D> critic_loss(const Var<T, D>& real, const Var<T, D>& fake) {
  return autograd::add(autograd::map_mean(HingeReal{}, real), autograd::map_mean(HingeFake{}, fake));
}

/// Adversarial distance: minus the mean logit that `critic(x, t, condition)` gives the student's x. The target enters
/// only through the critic's own training (`critic_loss`), in which both are judged at the same times. The critic's
/// weights must not require a gradient here; its input does.
template <class Critic>
struct Adversarial {
  struct Options {};
  const Critic* critic = nullptr;
  Options options{};
  template <class T, class D, class Where>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>&, const Where& where) const {
    require<OptionError>(critic != nullptr, "Adversarial distance without a critic");
    return autograd::affine(autograd::mean((*critic)(x, where.t, where.condition)), T(-1));
  }
};

/// A critic made of a frozen network's encoder features and trainable heads on them.
template <class Features, class Heads>
struct FeatureCritic {
  const Features* network = nullptr;  ///< offers features(x, t, condition)
  const Heads* heads = nullptr;       ///< maps features to logits [B, heads]
  template <class T, class D, class Condition>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>& t, const Condition& condition) const {
    return (*heads)(network->features(x, t, condition));
  }
};

}  // namespace hypersd::distill
