// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <hypersd/autograd/variable.hpp>
#include <vector>

namespace hypersd::feedback {

/// What scores pictures: `reward(images, condition)` with images a variable [B, H, W, C] gives one number a picture, a
/// variable [B], larger for better ones. It is differentiable in the images; its own parameters should be frozen
/// (see `frozen`). The condition is the student's: what the picture was asked to show.
template <class R, class T, class D, class Condition>
concept Reward = requires(const R& reward, const Var<T, D>& images, const Condition& condition) {
  { reward(images, condition) } -> std::convertible_to<Var<T, D>>;
};

/// The rewards [B] of pictures [B, ...], checked. Throws ShapeError for another shape, Error where the images ask for a
/// gradient and the reward passes none back, NumericError for a reward that is not finite: a hinge would take a NaN for
/// a picture that is good enough.
template <class R, class T, class D, class C>
requires Reward<R, T, D, C> Var<T, D> scores(const R& reward, const Var<T, D>& images, const C& condition) {
  const Var<T, D> r = reward(images, condition);
  require<ShapeError>(r.rank() == 1 && r.dim(0) == images.dim(0), "reward: shape ", r.shape(),
                      " for pictures of shape ", images.shape(), ", [B] needed");
  require<Error>(!images.tracked() || r.requires_grad(), "reward: passes no gradient back to the images");
  for (const T v : r.value().to_vector())
    require<NumericError>(std::isfinite(static_cast<double>(v)), "reward: ", static_cast<double>(v), " for a picture");
  return r;
}

}  // namespace hypersd::feedback
