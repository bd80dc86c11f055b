// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/two_times.hpp>

namespace hypersd::distill {

/// The prediction at x [B, ...] and times t whose one jump to `end` lands where two jumps of `net` land that stop at
/// times `middle`: what the semigroup property X(x, t -> s) = X(X(x, t -> q), q -> s) of a flow map asks for. Without
/// gradient. Where end = t it is undefined: such samples get 0. Small differences are of coefficients, in double.
template <diffusion::DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> two_jumps(const Process& process, const Net& net, const Tensor<T, D>& x, const diffusion::Times& t,
                       const diffusion::Times& middle, const diffusion::Times& end, const C& condition) {
  using diffusion::Form;
  const auto first = diffusion::predict_between(process, net, x, t, middle, condition);
  const auto second =
      diffusion::predict_between(process, net, diffusion::jump(process, x, first, t, middle), middle, end, condition);
  const auto batch = x.dim(0);
  const auto share = [&](std::size_t b) { return end[b] == t[b] ? 0 : 1 / process.jump(t[b], end[b]).prediction; };
  const auto part =
      diffusion::combine(diffusion::sample_forms<T, D>(
                             batch,
                             [&](std::size_t b) {
                               const Form one = process.jump(t[b], middle[b]);
                               const Form two = process.jump(middle[b], end[b]);
                               const Form whole = process.jump(t[b], end[b]);
                               return Form{share(b) * (two.x * one.x - whole.x), share(b) * two.x * one.prediction};
                             }),
                         x, first);
  return diffusion::combine(
      diffusion::sample_forms<T, D>(batch,
                                    [&](std::size_t b) {
                                      return Form{1, share(b) * process.jump(middle[b], end[b]).prediction};
                                    }),
      part, second);
}

}  // namespace hypersd::distill
