// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/copy.hpp>

namespace hypersd::autograd {

namespace detail {

template <class T, class D>
std::vector<Tensor<T, D>> values(const std::vector<Var<T, D>>& vars) {
  std::vector<Tensor<T, D>> out;
  for (const auto& v : vars) out.push_back(v.value());
  return out;
}

/// The tangents of `vars`, zeros where there is none.
template <class T, class D>
std::vector<Tensor<T, D>> tangents(const std::vector<Var<T, D>>& vars) {
  std::vector<Tensor<T, D>> out;
  for (const auto& v : vars) out.push_back(v.has_tangent() ? v.tangent() : Tensor<T, D>::zeros(v.shape()));
  return out;
}

}  // namespace detail

/// Joins variables along the last axis (skip connections): [..., C1], [..., C2], ... -> [..., C1 + C2 + ...]. Throws
/// ShapeError.
template <class T, class D>
Var<T, D> concat_channels(const std::vector<Var<T, D>>& parts) {
  return make_result<T, D>(
      ops::concat_last(detail::values(parts)), parts,
      [parts](const Tensor<T, D>& g) {
        std::int64_t column = 0;
        for (const auto& p : parts) {
          if (p.requires_grad()) p.accumulate(ops::slice_last(g, column, column + p.dim(-1)));
          column += p.dim(-1);
        }
      },
      [&] { return ops::concat_last(detail::tangents(parts)); });
}
/// The same for two variables.
template <class T, class D>
Var<T, D> concat_channels(const Var<T, D>& a, const Var<T, D>& b) {
  return concat_channels(std::vector<Var<T, D>>{a, b});
}

/// Columns [begin, end) of the last axis.
template <class T, class D>
Var<T, D> slice_channels(const Var<T, D>& x, std::int64_t begin, std::int64_t end) {
  return make_result<T, D>(
      ops::slice_last(x.value(), begin, end), {x},
      [x, begin](const Tensor<T, D>& g) {
        auto gx = Tensor<T, D>::zeros(x.shape());
        ops::slice_last_into(gx, begin, g);
        x.accumulate(std::move(gx));
      },
      [&] { return ops::slice_last(x.tangent(), begin, end); });
}

/// Joins variables along the first axis (the two branches of guidance in one batch). Throws ShapeError.
template <class T, class D>
Var<T, D> concat_batch(const std::vector<Var<T, D>>& parts) {
  return make_result<T, D>(
      ops::concat_first(detail::values(parts)), parts,
      [parts](const Tensor<T, D>& g) {
        std::int64_t row = 0;
        for (const auto& p : parts) {
          if (p.requires_grad()) p.accumulate(g.slice(row, row + p.dim(0)));
          row += p.dim(0);
        }
      },
      [&] { return ops::concat_first(detail::tangents(parts)); });
}
/// The same for two variables.
template <class T, class D>
Var<T, D> concat_batch(const Var<T, D>& a, const Var<T, D>& b) {
  return concat_batch(std::vector<Var<T, D>>{a, b});
}

/// Samples [begin, end) of the first axis; the value is a view.
template <class T, class D>
Var<T, D> slice_batch(const Var<T, D>& x, std::int64_t begin, std::int64_t end) {
  return make_result<T, D>(
      x.value().slice(begin, end), {x},
      [x, begin, end](const Tensor<T, D>& g) {
        auto gx = Tensor<T, D>::zeros(x.shape());
        gx.slice(begin, end).copy_from(g);
        x.accumulate(std::move(gx));
      },
      [&] { return x.tangent().slice(begin, end); });
}

/// Transposes axes: axis i of the result is axis `axes[i]` of `x`.
template <class T, class D>
Var<T, D> permute(const Var<T, D>& x, const std::vector<int>& axes) {
  return make_result<T, D>(
      ops::permute(x.value(), axes), {x},
      [x, axes](const Tensor<T, D>& g) {
        std::vector<int> inverse(axes.size());
        for (std::size_t i = 0; i < axes.size(); ++i) inverse[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
        x.accumulate(ops::permute(g, inverse));
      },
      [&] { return ops::permute(x.tangent(), axes); });
}

}  // namespace hypersd::autograd
