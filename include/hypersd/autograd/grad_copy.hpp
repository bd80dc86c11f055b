// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/copy.hpp>

namespace hypersd::autograd {

/// [..., A] and [..., B] -> [..., A + B].
template <class T, class D>
Var<T, D> concat_channels(const Var<T, D>& a, const Var<T, D>& b) {
  return make_result<T, D>(ops::concat_channels(a.value(), b.value()), {a, b}, [a, b](const Tensor<T, D>& g) {
    if (a.requires_grad()) a.accumulate(ops::slice_channels(g, 0, a.dim(-1)));
    if (b.requires_grad()) b.accumulate(ops::slice_channels(g, a.dim(-1), g.dim(-1)));
  });
}

/// Channels [begin, end) of the last axis.
template <class T, class D>
Var<T, D> slice_channels(const Var<T, D>& x, std::int64_t begin, std::int64_t end) {
  return make_result<T, D>(ops::slice_channels(x.value(), begin, end), {x}, [x, begin, end](const Tensor<T, D>& g) {
    auto gx = Tensor<T, D>::zeros(x.shape());
    ops::copy_channels(g, 0, gx, begin, end - begin);
    x.accumulate(std::move(gx));
  });
}

/// [A, ...] and [B, ...] -> [A + B, ...].
template <class T, class D>
Var<T, D> concat_batch(const Var<T, D>& a, const Var<T, D>& b) {
  return make_result<T, D>(ops::concat_batch(a.value(), b.value()), {a, b}, [a, b](const Tensor<T, D>& g) {
    a.accumulate(g.slice(0, a.dim(0)));
    b.accumulate(g.slice(a.dim(0), g.dim(0)));
  });
}

/// Samples [begin, end) of the leading axis.
template <class T, class D>
Var<T, D> slice_batch(const Var<T, D>& x, std::int64_t begin, std::int64_t end) {
  return make_result<T, D>(x.value().slice(begin, end), {x}, [x, begin, end](const Tensor<T, D>& g) {
    auto gx = Tensor<T, D>::zeros(x.shape());
    gx.slice(begin, end).copy_from(g);
    x.accumulate(std::move(gx));
  });
}

/// Axes in another order: axis i of the result is axis `order[i]` of x.
template <class T, class D>
Var<T, D> permute(const Var<T, D>& x, std::initializer_list<int> order) {
  std::array<int, Shape::max_rank> back{};
  int i = 0;
  auto value = ops::permute(x.value(), order);
  for (const int axis : order) back[static_cast<std::size_t>(axis)] = i++;
  return make_result<T, D>(std::move(value), {x}, [x, back](const Tensor<T, D>& g) {
    const auto b = [&](std::size_t j) { return back[j]; };
    switch (x.rank()) {
      case 1: return x.accumulate(g);
      case 2: return x.accumulate(ops::permute(g, {b(0), b(1)}));
      case 3: return x.accumulate(ops::permute(g, {b(0), b(1), b(2)}));
      case 4: return x.accumulate(ops::permute(g, {b(0), b(1), b(2), b(3)}));
      case 5: return x.accumulate(ops::permute(g, {b(0), b(1), b(2), b(3), b(4)}));
      default: return x.accumulate(ops::permute(g, {b(0), b(1), b(2), b(3), b(4), b(5)}));
    }
  });
}

}  // namespace hypersd::autograd
