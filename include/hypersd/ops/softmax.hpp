// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/in_float.hpp>
#include <hypersd/ops/cpu/softmax.hpp>
#include <hypersd/ops/reduce.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/kernels.cuh>
#include <hypersd/ops/cuda/softmax.hpp>
#endif

namespace hypersd::ops {

/// e^x / sum e^x over the last axis of x [..., C], computed with x - max. Throws ShapeError for a scalar.
template <class T, class D>
Tensor<T, D> softmax(const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() > 0, "softmax of a scalar");
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(softmax(detail::wide(x)));
  } else {
    Tensor<T, D> y(x.shape());
    if (x.size() > 0) backend::softmax(D{}, x.size() / x.dim(-1), x.dim(-1), x.data(), y.data());
    return y;
  }
}

/// Backward pass of `softmax` from its result y: y (g - sum g y) for the gradient g of y. Throws ShapeError.
template <class T, class D>
Tensor<T, D> softmax_gradient(const Tensor<T, D>& g, const Tensor<T, D>& y) {
  require_same_shape("softmax_gradient", g.shape(), y.shape());
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(softmax_gradient(detail::wide(g), detail::wide(y)));
  } else {
    Tensor<T, D> gx(y.shape());
    if (y.size() > 0) backend::softmax_gradient(D{}, y.size() / y.dim(-1), y.dim(-1), g.data(), y.data(), gx.data());
    return gx;
  }
}

namespace detail {

inline void require_labels(const Shape& logits, const Shape& labels, double smoothing) {
  require<ShapeError>(logits.rank() == 2 && labels == Shape{logits[0]} && logits.numel() > 0, "cross_entropy: logits ",
                      logits, " and labels ", labels);
  require<OptionError>(smoothing >= 0 && smoothing <= 1, "cross_entropy: label smoothing ", smoothing,
                       " not in [0, 1]");
}

}  // namespace detail

/// Mean over the batch of -sum_k q_k log softmax(logits)_k, shape [1]: logits [B, K], labels [B] in [0, K),
/// q = (1 - s) one-hot(label) + s / K with label smoothing s in [0, 1]. A label out of range throws OptionError on the
/// CPU and gives NaN on a GPU. Throws ShapeError.
template <class T, class D>
Tensor<T, D> cross_entropy(const Tensor<T, D>& logits, const Tensor<std::int32_t, D>& labels, double smoothing = 0) {
  detail::require_labels(logits.shape(), labels.shape(), smoothing);
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(cross_entropy(detail::wide(logits), labels, smoothing));
  } else {
    using A = Accumulator<T>;
    Tensor<A, D> rows(Shape{logits.dim(0)});
    backend::cross_entropy(D{}, logits.dim(0), logits.dim(1), logits.data(), labels.data(), static_cast<A>(smoothing),
                           rows.data());
    return cast<T>(map_sum(Affine<A>{A(1) / static_cast<A>(logits.dim(0)), A(0)}, rows));
  }
}

/// Backward pass of `cross_entropy`: (softmax(logits) - q) g / B, the gradient of the logits for the gradient g [1] of
/// the loss. Throws like it.
template <class T, class D>
Tensor<T, D> cross_entropy_gradient(const Tensor<T, D>& g, const Tensor<T, D>& logits,
                                    const Tensor<std::int32_t, D>& labels, double smoothing = 0) {
  detail::require_labels(logits.shape(), labels.shape(), smoothing);
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(cross_entropy_gradient(detail::wide(g), detail::wide(logits), labels, smoothing));
  } else {
    Tensor<T, D> out(logits.shape());
    backend::cross_entropy_gradient(D{}, logits.dim(0), logits.dim(1), logits.data(), labels.data(),
                                    static_cast<Accumulator<T>>(smoothing), g.data(), out.data());
    return out;
  }
}

}  // namespace hypersd::ops
