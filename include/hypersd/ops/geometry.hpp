// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/config.hpp>
#include <hypersd/core/scalar.hpp>
#include <hypersd/core/shape.hpp>

/// \file
/// Sizes that an operation's contract has checked and that its back-ends on every device take. Trivially copyable, so
/// that they are kernel arguments.

namespace hypersd::ops {

/// Matmul of an [m, k] and a [k, n] matrix; which operands are stored transposed.
struct GemmShape {
  std::int64_t m, n, k;
  bool trans_a = false, trans_b = false;
};

/// Convolution of x [batch, height, width, in] with w [out, kernel_height, kernel_width, in].
struct Conv2dGeometry {
  std::int64_t batch, height, width, in, out, kernel_height, kernel_width, stride, pad, out_height, out_width;

  /// Elements of a patch: the k of the matmul that the convolution becomes.
  [[nodiscard]] HYPERSD_HD std::int64_t depth() const { return kernel_height * kernel_width * in; }
  [[nodiscard]] HYPERSD_HD std::int64_t positions() const { return out_height * out_width; }
  /// True for a 1x1 convolution that visits every position once: a plain matmul.
  [[nodiscard]] HYPERSD_HD bool pointwise() const {
    return kernel_height == 1 && kernel_width == 1 && stride == 1 && pad == 0 && out_height == height &&
           out_width == width;
  }
  /// True if the output has the size that padding by `pad` on all four sides gives.
  [[nodiscard]] HYPERSD_HD bool symmetric() const {
    return out_height == (height + 2 * pad - kernel_height) / stride + 1 &&
           out_width == (width + 2 * pad - kernel_width) / stride + 1;
  }
  /// True if the output has the input's size, at stride 1 and with a square kernel: then the gradient of the input is a
  /// convolution too (`transposed`).
  [[nodiscard]] HYPERSD_HD bool keeps_size() const {
    return stride == 1 && out_height == height && out_width == width && pad < kernel_height &&
           kernel_height == kernel_width;
  }
  /// The convolution of the output's gradient with the flipped kernel that gives the input's gradient.
  [[nodiscard]] Conv2dGeometry transposed() const {
    Conv2dGeometry g = *this;
    g.in = out;
    g.out = in;
    g.pad = kernel_height - 1 - pad;
    return g;
  }
};

/// Multi-head attention: q [batch, queries, heads dim], k and v [batch, keys, heads dim].
struct AttentionGeometry {
  std::int64_t batch, heads, queries, keys, dim;
  bool causal;

  [[nodiscard]] HYPERSD_HD std::int64_t channels() const { return heads * dim; }
  /// Offset of the first element of head `head` (counted over the batch: b heads + h) in a tensor [batch, rows, C].
  [[nodiscard]] HYPERSD_HD std::int64_t head_offset(std::int64_t rows, std::int64_t head) const {
    return head / heads * rows * channels() + head % heads * dim;
  }
};

/// Operands of attention's tangent: tensors as in `attention`, their tangents (null where zero), and the forward
/// result.
template <class T>
struct AttentionTangentInputs {
  const T *q, *k, *v;
  const T *dq, *dk, *dv;
  const T* y;
  const Accumulator<T>* log_sum;
};

/// Activation fused after a normalisation.
enum class Activation { none, silu };

/// Group normalisation of x [batch, positions, channels].
struct GroupNormGeometry {
  std::int64_t batch, positions, channels, groups;

  /// Channels of a group.
  [[nodiscard]] HYPERSD_HD std::int64_t per_group() const { return channels / groups; }
  /// Elements of a sample.
  [[nodiscard]] HYPERSD_HD std::int64_t sample() const { return positions * channels; }
};

/// A permutation of axes, neighbouring axes merged: extents of the result and the input's strides along them, in
/// elements.
struct PermuteGeometry {
  std::int64_t extent[Shape::max_rank] = {};
  std::int64_t stride[Shape::max_rank] = {};
  int rank = 0;
};

/// A small and a large image of one batch, [batch, height, width, channels] and [batch, big_height, big_width,
/// channels].
struct ResampleGeometry {
  std::int64_t batch, height, width, big_height, big_width, channels;
};

}  // namespace hypersd::ops
