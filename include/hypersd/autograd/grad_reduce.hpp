// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_map.hpp>

namespace hypersd::autograd {

/// scale times the sum of f(operands...) over all elements, shape [1]. Operands as in `map`; neither pass stores the
/// summands.
template <class F, class T, class D, class... X>
Var<T, D> map_sum(const F& f, Accumulator<T> scale, const Var<T, D>& first, const X&... rest) {
  using A = Accumulator<T>;
  const auto total = ops::wide_map_sum(f, first.value(), detail::MapOperand<X>::tensor(rest)...);
  Tensor<T, D> value(Shape{1});
  ops::map_into(value, ops::Affine<A>{scale, A(0)}, total);
  std::vector<Var<T, D>> inputs{first};
  (detail::collect(inputs, rest), ...);
  return make_result<T, D>(
      std::move(value), inputs,
      [f, scale, operands = std::tuple(first, rest...)](const Tensor<T, D>& g) {
        // The incoming gradient is one number: broadcast it, so that `map_backward` applies.
        Tensor<T, D> spread(std::get<0>(operands).shape());
        ops::map_into(spread, ops::Affine<A>{scale, A(0)}, ops::everywhere(g));
        detail::map_backward<0>(f, spread, operands);
      },
      [&] {
        Tensor<T, D> summands, tangent(Shape{1});
        detail::map_forward<0>(f, summands, first.shape(), std::tuple(first, rest...));
        ops::map_into(tangent, ops::Affine<A>{scale, A(0)}, ops::wide_map_sum(ops::Identity{}, summands));
        return tangent;
      });
}

/// Mean of f(operands...) over all elements of `first`, shape [1].
template <class F, class T, class D, class... X>
Var<T, D> map_mean(const F& f, const Var<T, D>& first, const X&... rest) {
  using A = Accumulator<T>;
  return map_sum(f, A(1) / static_cast<A>(std::max<std::int64_t>(1, first.size())), first, rest...);
}

/// Sum of all elements, shape [1].
template <class T, class D>
Var<T, D> sum(const Var<T, D>& x) {
  return map_sum(ops::Identity{}, Accumulator<T>(1), x);
}
/// Mean of all elements, shape [1].
template <class T, class D>
Var<T, D> mean(const Var<T, D>& x) {
  return map_mean(ops::Identity{}, x);
}

/// Sum of each sample: [B, ...] -> [B].
template <class T, class D>
Var<T, D> sum_to_samples(const Var<T, D>& x) {
  return make_result<T, D>(
      ops::sum_to_samples(x.value()), {x},
      [x](const Tensor<T, D>& g) {
        Tensor<T, D> gx(x.shape());
        ops::map_into(gx, ops::Identity{}, ops::per_sample(g));
        x.accumulate(std::move(gx));
      },
      [&] { return ops::sum_to_samples(x.tangent()); });
}

/// Mean over the positions of each sample: [B, ..., C] -> [B, C] (global average pooling).
template <class T, class D>
Var<T, D> mean_positions(const Var<T, D>& x) {
  using A = Accumulator<T>;
  const auto positions = static_cast<A>(x.size() / std::max<std::int64_t>(1, x.dim(0) * x.dim(-1)));
  const A scale = A(1) / std::max(A(1), positions);
  const auto mean = [scale](const Tensor<T, D>& values) {
    auto out = ops::sum_to_sample_channels(values);
    ops::map_into(out, ops::Affine<A>{scale, A(0)}, out);
    return out;
  };
  return make_result<T, D>(
      mean(x.value()), {x},
      [x, scale](const Tensor<T, D>& g) {
        Tensor<T, D> gx(x.shape());
        ops::map_into(gx, ops::Affine<A>{scale, A(0)}, ops::per_channel(g));
        x.accumulate(std::move(gx));
      },
      [&] { return mean(x.tangent()); });
}

}  // namespace hypersd::autograd
