// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/affine_step_cpu.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/affine_step_cuda.cuh>
#endif

namespace hypersd::ops {

/// Operands of `affine_step_into` on tensors [B, ...] with scales [B], one for each sample.
template <class T, class D>
struct AffineStep {
  using Scale = Tensor<Accumulator<T>, D>;
  Tensor<T, D> x;
  Scale x_scale;
  Tensor<T, D> first;
  Scale first_scale;
  Tensor<T, D> second{};  ///< left out when undefined
  Scale second_scale{};
  Scale noise_scale{};  ///< no noise when undefined; none is drawn for samples where it is 0
};

/// out = x_scale x + first_scale first + second_scale second + noise_scale z in one pass, each input read once. z is
/// standard normal and never stored: flat element i takes element `offset + i` of stream `s`, on every device. This is
/// a whole solver step: prediction conversion and guidance are in the scales. Arithmetic is in float for types
/// narrower than that. `out` may be any of the operands. Throws ShapeError.
template <class T, class D>
void affine_step_into(const Tensor<T, D>& out, const AffineStep<T, D>& a, Stream s = {}, std::int64_t offset = 0) {
  require<ShapeError>(out.rank() > 0, "affine_step: the result has no batch axis");
  require<OptionError>(offset >= 0, "affine_step: negative offset ", offset);
  const std::int64_t batch = out.dim(0);
  auto operand = [&](const Tensor<T, D>& t, const auto& scale) {
    require_same_shape("affine_step", out.shape(), t.shape());
    require<ShapeError>(scale.size() == batch, "affine_step: ", scale.size(), " scales for a batch of shape ",
                        out.shape());
  };
  operand(a.x, a.x_scale);
  operand(a.first, a.first_scale);
  if (a.second.defined()) operand(a.second, a.second_scale);
  if (a.noise_scale.defined()) operand(out, a.noise_scale);
  if (out.size() == 0) return;
  const AffineStepArguments<T> p{out.data(),
                                 a.x.data(),
                                 a.first.data(),
                                 a.second.defined() ? a.second.data() : nullptr,
                                 a.x_scale.data(),
                                 a.first_scale.data(),
                                 a.second.defined() ? a.second_scale.data() : nullptr,
                                 a.noise_scale.defined() ? a.noise_scale.data() : nullptr,
                                 out.size(),
                                 out.size() / batch,
                                 s,
                                 offset};
  backend::affine_step(D{}, p);
}

}  // namespace hypersd::ops
