// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>

namespace hypersd::feedback {

namespace detail {

inline void check_pairs(const Shape& preferred, const Shape& other) {
  require_same_shape("rewards of pairs", preferred, other);
  require<ShapeError>(preferred.rank() == 1 && preferred[0] > 0, "rewards of pairs: shape ", preferred,
                      ", [B] with B >= 1 needed");
}

}  // namespace detail

/// Loss of a reward model on pairs of which a person preferred one: the mean of -ln sigmoid(r_w - r_l), r_w [B] the
/// rewards of the preferred and r_l [B] those of the other pictures (Bradley and Terry). Computed as
/// softplus(r_l - r_w), which cannot overflow. Only differences of rewards count. Throws ShapeError. [Hyper-SD Eq. 9]
template <class T, class D>
Var<T, D> bradley_terry(const Var<T, D>& preferred, const Var<T, D>& other) {
  detail::check_pairs(preferred.shape(), other.shape());
  return autograd::map_mean(autograd::OfDifference<ops::Softplus>{}, other, preferred);
}

/// Share of pairs [B] in which the preferred picture has the higher reward, in [0, 1]; ties count one half.
/// Throws ShapeError.
template <class T, class D>
double pair_accuracy(const Tensor<T, D>& preferred, const Tensor<T, D>& other) {
  detail::check_pairs(preferred.shape(), other.shape());
  const std::vector<T> w = preferred.to_vector(), l = other.to_vector();
  double right = 0;
  for (std::size_t i = 0; i < w.size(); ++i) right += w[i] > l[i] ? 1.0 : w[i] == l[i] ? 0.5 : 0.0;
  return right / static_cast<double>(w.size());
}
/// The same for the values of variables.
template <class T, class D>
double pair_accuracy(const Var<T, D>& preferred, const Var<T, D>& other) {
  return pair_accuracy(preferred.value(), other.value());
}

}  // namespace hypersd::feedback
