// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/timestep_embedding.hpp>

namespace hypersd::nn {

/// The two times of a flow map, from `t` down to `end` <= t, [B] each, as a network with a second time takes them in
/// the place of its time: `net(x, Interval{t, end}, condition)`. Both may carry tangents under `autograd::jvp`.
template <Scalar T, Device D = Cpu>
struct Interval {
  Times<T, D> t, end;

  /// t - end with its tangent.
  [[nodiscard]] Times<T, D> length() const {
    Times<T, D> out(ops::map(ops::Sub{}, t.value, end.value));
    if (t.tangent.defined() && end.tangent.defined())
      out.tangent = ops::map(ops::Sub{}, t.tangent, end.tangent);
    else if (end.tangent.defined())
      out.tangent = ops::map(ops::Affine<Accumulator<T>>{-1, 0}, end.tangent);
    else
      out.tangent = t.tangent;
    return out;
  }
};

}  // namespace hypersd::nn
