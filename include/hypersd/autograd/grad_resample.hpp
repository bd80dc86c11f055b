// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/resample.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::upsample_nearest` of [B, h, w, C].
template <class T, class D>
Var<T, D> upsample_nearest(const Var<T, D>& x, std::int64_t height, std::int64_t width) {
  return make_result<T, D>(ops::upsample_nearest(x.value(), height, width), {x}, [x](const Tensor<T, D>& g) {
    x.accumulate(ops::upsample_nearest_backward(g, x.shape()));
  });
}

}  // namespace hypersd::autograd
