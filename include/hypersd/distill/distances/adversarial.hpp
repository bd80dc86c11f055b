// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/distance.hpp>
#include <hypersd/distill/objective.hpp>
#include <string>
#include <utility>

namespace hypersd::distill {

/// relu(1 - x): the hinge of a critic on real samples.
struct HingeReal {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x < T(1) ? T(1) - x : T(0);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x < T(1) ? T(-1) : T(0);
  }
};
/// relu(1 + x): the hinge of a critic on fake samples.
struct HingeFake {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x > T(-1) ? T(1) + x : T(0);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x > T(-1) ? T(1) : T(0);
  }
};

/// Loss of a critic on targets ("real") and the student's jumps ("fake"), hinge form: mean relu(1 - real) +
/// mean relu(1 + fake) over all logits. Both sets of samples must be detached from the student.
template <class T, class D>
Var<T, D> critic_loss(const Var<T, D>& real, const Var<T, D>& fake) {
  return autograd::add(autograd::map_mean(HingeReal{}, real), autograd::map_mean(HingeFake{}, fake));
}

/// Mean softplus(-logit): the non-saturating loss of samples that should pass for real.
template <class T, class D>
Var<T, D> non_saturating(const Var<T, D>& logits) {
  return autograd::mean(autograd::softplus(autograd::affine(logits, -1)));
}

/// Loss of a critic in the non-saturating form: mean softplus(-real) + mean softplus(fake).
template <class T, class D>
Var<T, D> non_saturating_critic_loss(const Var<T, D>& real, const Var<T, D>& fake) {
  return autograd::add(non_saturating(real), autograd::mean(autograd::softplus(fake)));
}

/// Hinge form of the two sides of an adversarial loss, on logits. A critic names its form as `form`; the default is
/// `HingeLoss`.
struct HingeLoss {
  template <class T, class D>
  static Var<T, D> student(const Var<T, D>& fake) {
    return autograd::affine(autograd::mean(fake), -1);
  }
  template <class T, class D>
  static Var<T, D> critic(const Var<T, D>& real, const Var<T, D>& fake) {
    return critic_loss(real, fake);
  }
};
/// Non-saturating form of the two sides: softplus(-fake) for the student.
struct NonSaturating {
  template <class T, class D>
  static Var<T, D> student(const Var<T, D>& fake) {
    return non_saturating(fake);
  }
  template <class T, class D>
  static Var<T, D> critic(const Var<T, D>& real, const Var<T, D>& fake) {
    return non_saturating_critic_loss(real, fake);
  }
};

namespace detail {

template <class Critic>
struct FormOf {
  using type = HingeLoss;
};
template <class Critic>
requires requires { typename Critic::form; }
struct FormOf<Critic> {
  using type = typename Critic::form;
};

}  // namespace detail

/// Stands for "no critic".
struct NoCritic {};

/// A critic that is trained beside the student: `learn(fake, real, t, condition, average)` is one update of its own.
template <class C, class T, class D, class Condition>
concept LearningCritic = requires(C& critic, const Tensor<T, D>& x, const Condition& condition) {
  critic.learn(x, x, Numbers<T, D>{}, condition, OwnGradients{});
};

/// Adversarial distance: what the logits of `critic(x, t, condition)` cost the student's x, minus their mean in the
/// hinge form. The target enters only through the critic's training (`learn`), in which both are judged at the same
/// times. The critic's weights must not require a gradient, its input does.
template <class Critic>
struct Adversarial {
  struct Options {};
  Critic* critic = nullptr;
  Options options{};
  template <class T, class D, class Where>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>&, const Where& where) const {
    require<OptionError>(critic != nullptr, "Adversarial distance without a critic");
    return detail::FormOf<Critic>::type::student((*critic)(x, where.t, where.condition));
  }
  /// One update of the critic on the student's x and the targets y, both detached.
  template <class T, class D, class Where, class Average = OwnGradients>
  requires LearningCritic<Critic, T, D, std::remove_cvref_t<decltype(std::declval<Where>().condition)>>
  void learn(const Tensor<T, D>& x, const Tensor<T, D>& y, const Where& where, const Average& average = {}) const {
    require<OptionError>(critic != nullptr, "Adversarial distance without a critic");
    critic->learn(x, y, where.t, where.condition, average);
  }
  template <class F>
  requires requires(F& f) { std::declval<const Critic&>().visit_state(f, std::string()); }
  void visit_state(F&& f, const std::string& prefix) const {
    if (critic) critic->visit_state(f, prefix + "critic.");
  }
};

}  // namespace hypersd::distill
