// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/affine_step.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/affine_step.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#endif

namespace hypersd::ops {

/// Operands of `affine_step_into`: tensors [B, ...] with scales [B], one for each sample.
template <class T, class D>
struct AffineStep {
  using Scale = Tensor<Accumulator<T>, D>;
  Tensor<T, D> x;
  Scale x_scale;
  Tensor<T, D> first;
  Scale first_scale;
  Tensor<T, D> second{};  ///< optional: left out if undefined
  Scale second_scale{};
  Scale noise_scale{};  ///< optional: no noise if undefined, nor for samples whose scale is 0
};

/// The noise of a step: its flat element i is element `offset` + i of `stream`, on every device. If `key` is defined,
/// seed, id and offset are read from it when the step runs, so that a step captured in a CUDA graph can draw new noise
/// at each launch; see `noise_key`.
template <Device D>
struct StepNoise {
  Stream stream{};
  std::int64_t offset = 0;
  Tensor<std::int64_t, D> key{};
};

/// The three numbers of a `StepNoise::key` for noise from element `offset` of `s` on.
inline std::array<std::int64_t, 3> noise_key(Stream s, std::int64_t offset) {
  return {static_cast<std::int64_t>(s.seed), static_cast<std::int64_t>(s.id), offset};
}

namespace detail {

template <class T, class D, class First>
void affine_step_into(const Tensor<T, D>& out, const AffineStep<T, D>& a, const StepNoise<D>& noise,
                      const First& first) {
  constexpr bool stored = std::is_same_v<First, StoredFirst>;
  require<ShapeError>(out.rank() > 0, "affine_step: the result has no batch axis");
  require<OptionError>(noise.offset >= 0, "affine_step: negative offset ", noise.offset);
  require<ShapeError>(!noise.key.defined() || noise.key.size() == 3, "affine_step: noise key of shape ",
                      noise.key.shape());
  const std::int64_t batch = out.dim(0);
  auto operand = [&](const Tensor<T, D>& t, const auto& scale) {
    require_same_shape("affine_step", out.shape(), t.shape());
    require<ShapeError>(scale.size() == batch, "affine_step: ", scale.size(), " scales for a batch of shape ",
                        out.shape());
  };
  operand(a.x, a.x_scale);
  operand(stored ? a.first : out, a.first_scale);
  if (a.second.defined()) operand(a.second, a.second_scale);
  if (a.noise_scale.defined()) operand(out, a.noise_scale);
  if (out.size() == 0) return;
  const AffineStepArguments<T> p{out.data(),
                                 a.x.data(),
                                 stored ? a.first.data() : nullptr,
                                 a.second.defined() ? a.second.data() : nullptr,
                                 a.x_scale.data(),
                                 a.first_scale.data(),
                                 a.second.defined() ? a.second_scale.data() : nullptr,
                                 a.noise_scale.defined() ? a.noise_scale.data() : nullptr,
                                 out.size(),
                                 out.size() / batch,
                                 {noise.stream, noise.offset},
                                 noise.key.defined() ? noise.key.data() : nullptr};
  backend::affine_step(D{}, p, first);
}

}  // namespace detail

/// out = x_scale x + first_scale first + second_scale second + noise_scale z in one pass, each input read once; z is
/// standard normal and never stored. This is a whole solver step, with prediction conversion and guidance in the
/// scales. 16-bit types are computed in float. `out` may be one of the operands. Throws ShapeError for operands of
/// another shape or scales of another batch, OptionError for a negative offset.
template <class T, class D>
void affine_step_into(const Tensor<T, D>& out, const AffineStep<T, D>& a, const StepNoise<D>& noise) {
  detail::affine_step_into(out, a, noise, StoredFirst{});
}
/// The same with the noise of stream `s`, from element `offset` of the stream on.
template <class T, class D>
void affine_step_into(const Tensor<T, D>& out, const AffineStep<T, D>& a, Stream s = {}, std::int64_t offset = 0) {
  affine_step_into(out, a, StepNoise<D>{s, offset, {}});
}

/// The same with first = f(x), element by element in the type of the scales, for a denoiser that is a function of one
/// element. `f` is a host-device functor; `a.first` is not read and may be undefined.
template <class T, class D, class F>
requires std::is_invocable_r_v<Accumulator<T>, F, Accumulator<T>>
void affine_step_into(const Tensor<T, D>& out, const AffineStep<T, D>& a, const StepNoise<D>& noise, const F& f) {
  detail::affine_step_into(out, a, noise, ComputedFirst<F>{f});
}

}  // namespace hypersd::ops
