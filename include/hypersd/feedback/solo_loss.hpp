// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/feedback/solo_targets.hpp>
#include <hypersd/nn/models/segmenter.hpp>

namespace hypersd::feedback {

/// 1 / (1 + e^-x).
struct Sigmoid {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return math::sigmoid(x);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    const T s = math::sigmoid(x);
    return s * (T(1) - s);
  }
};

/// Focal loss of one logit x for y in {0, 1} (Lin et al., arXiv 1708.02002), p = sigmoid(x):
/// -alpha (1 - p)^gamma ln p for y = 1, -(1 - alpha) p^gamma ln(1 - p) for y = 0; gamma is 2.
struct Focal {
  double alpha = 0.25;
  template <class T>
  HYPERSD_HD T operator()(T x, T y) const {
    const T p = math::sigmoid(x);
    return y != T(0) ? T(alpha) * (T(1) - p) * (T(1) - p) * softplus(-x) : T(1 - alpha) * p * p * softplus(x);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x, T y) const {
    static_assert(I == 0, "labels have no gradient");
    const T p = math::sigmoid(x), q = T(1) - p;
    // With l = -ln p: d (q^2 l) / dx = -2 q p q l - q^2 q.
    return y != T(0) ? T(alpha) * (T(-2) * p * q * q * softplus(-x) - q * q * q)
                     : T(1 - alpha) * (T(2) * p * p * q * softplus(x) + p * p * p);
  }

 private:
  template <class T>
  HYPERSD_HD static T softplus(T x) {
    return ops::Softplus{}(x);
  }
};

/// 1 - 2 a / (b + c + 2e-3) with a = sum p q, b = sum p^2, c = sum q^2: the Dice loss of a mask, never 0 / 0.
struct DiceOfSums {
  template <class T>
  HYPERSD_HD T operator()(T a, T b, T c) const {
    return T(1) - T(2) * a / (b + c + T(2e-3));
  }
  template <int I, class T>
  HYPERSD_HD T d(T a, T b, T c) const {
    static_assert(I < 2, "labels have no gradient");
    const T s = b + c + T(2e-3);
    return I == 0 ? T(-2) / s : T(2) * a / (s * s);
  }
};

/// Weights of the two parts.
struct SoloWeights {
  double mask = 3, category = 1;
};

/// SOLO's loss: the mean Dice loss of the cells that have an object, plus the focal loss of all cells and classes over
/// the number of such cells + 1. Without objects the first part is 0. [SOLO; Hyper-SD Eq. 14]
template <class T, class D>
diffusion::LossResult<T, D> solo_loss(const nn::SegmenterOutput<T, D>& out, const SoloTargets<T, D>& target,
                                      const SoloWeights& weights = {}) {
  require_same_shape("solo_loss, categories", out.category.shape(), target.category.shape());
  require_same_shape("solo_loss, masks", out.mask.shape(), target.mask.shape());
  using A = Accumulator<T>;
  const auto focal = autograd::map_sum(Focal{}, static_cast<A>(1.0 / static_cast<double>(target.cells + 1)),
                                       out.category, target.category);
  diffusion::LossResult<T, D> result{autograd::affine(focal, static_cast<A>(weights.category)),
                                     {{"category", focal.value()}}};
  if (target.cells == 0) return result;
  const auto positions = static_cast<A>(out.mask.dim(1) * out.mask.dim(2));
  const auto sums = [&](const Var<T, D>& x) { return autograd::affine(autograd::mean_positions(x), positions); };
  const auto p = autograd::map(Sigmoid{}, out.mask);
  const auto known = sums(Var<T, D>(target.mask)).value();  // of 0 and 1, so the sum of squares too
  const auto dice =
      autograd::map(DiceOfSums{}, sums(autograd::mul(p, target.mask)), sums(autograd::map(ops::Square{}, p)), known);
  const auto mask = autograd::affine(autograd::sum(autograd::mul(dice, target.positive)),
                                     static_cast<A>(1.0 / static_cast<double>(target.cells)));
  result.diagnostics.emplace_back("mask", mask.value());
  result.loss = autograd::linear_combination(static_cast<A>(weights.mask), mask, 1, result.loss);
  return result;
}

}  // namespace hypersd::feedback
