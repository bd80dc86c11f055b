// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/distance.hpp>

namespace hypersd::distill {

/// Mean of sqrt((x - y)^2 + c^2) - c over all elements, the pseudo-Huber distance of latent consistency models.
struct Huber {
  struct Options {
    double c = 1e-3;  ///< above 0
  };
  Options options{};
  static constexpr bool learns() { return false; }
  template <class T, class D, class Where>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>& y, const Where& where) const {
    require<OptionError>(options.c > 0, "Huber distance: c = ", options.c);
    return compare(x, y, where, [this](const Var<T, D>& a, const Tensor<T, D>& b) {
      return autograd::map_mean(autograd::OfDifference<ops::PseudoHuber>{{options.c}}, a, b);
    });
  }
};

}  // namespace hypersd::distill
