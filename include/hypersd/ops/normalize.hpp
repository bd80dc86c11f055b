// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/normalize_cpu.hpp>
#include <hypersd/ops/reduce.hpp>
#if HYPERSD_HAS_CUDA && __has_include(<hypersd/ops/normalize_cuda.cuh>)
#include <hypersd/ops/normalize_cuda.cuh>
#endif

namespace hypersd::ops {

/// A normalised tensor and the statistics that its gradient needs.
template <class T, class D>
struct Normalized {
  Tensor<T, D> y, mean, rstd;
};

/// Gradients with respect to input, scale and shift.
template <class T, class D>
struct NormalizeGradients {
  Tensor<T, D> x, gamma, beta;
};

namespace detail {

inline GroupNormGeometry group_norm_geometry(const Shape& x, const Shape& gamma, const Shape& beta,
                                             std::int64_t groups) {
  require<ShapeError>(x.rank() >= 2 && gamma == Shape{x[-1]} && beta == gamma, "group_norm: input ", x, ", gamma ",
                      gamma, ", beta ", beta);
  require<OptionError>(groups >= 1 && x[-1] % groups == 0, "group_norm: ", groups, " groups do not divide ", x[-1],
                       " channels");
  return {x[0], x.numel() / std::max<std::int64_t>(1, x[0] * x[-1]), x[-1], groups};
}

}  // namespace detail

/// Group normalisation of x [B, ..., C] over positions and C / groups consecutive channels (biased variance), followed
/// by `act` in the same pass.
template <class T, class D>
Normalized<T, D> group_norm(const Tensor<T, D>& x, const Tensor<T, D>& gamma, const Tensor<T, D>& beta,
                            std::int64_t groups, double eps, Activation act) {
  const auto g = detail::group_norm_geometry(x.shape(), gamma.shape(), beta.shape(), groups);
  Normalized<T, D> out{Tensor<T, D>(x.shape()), Tensor<T, D>(Shape{g.batch, groups}),
                       Tensor<T, D>(Shape{g.batch, groups})};
  backend::group_norm(D{}, g, static_cast<T>(eps), act, x.data(), gamma.data(), beta.data(), out.y.data(),
                      out.mean.data(), out.rstd.data());
  return out;
}

/// Gradient of `group_norm`.
template <class T, class D>
NormalizeGradients<T, D> group_norm_backward(const Tensor<T, D>& gy, const Tensor<T, D>& x, const Tensor<T, D>& gamma,
                                             const Tensor<T, D>& beta, const Tensor<T, D>& mean,
                                             const Tensor<T, D>& rstd, std::int64_t groups, Activation act) {
  const auto g = detail::group_norm_geometry(x.shape(), gamma.shape(), beta.shape(), groups);
  NormalizeGradients<T, D> out{Tensor<T, D>(x.shape()), {}, {}};
  const Tensor<T, D> ggamma(Shape{g.batch, g.channels}), gbeta(Shape{g.batch, g.channels});
  backend::group_norm_backward(D{}, g, act, gy.data(), x.data(), gamma.data(), beta.data(), mean.data(), rstd.data(),
                               out.x.data(), ggamma.data(), gbeta.data());
  out.gamma = sum_to_channels(ggamma);
  out.beta = sum_to_channels(gbeta);
  return out;
}

/// Layer normalisation of x [..., C] over the last axis (biased variance).
template <class T, class D>
Normalized<T, D> layer_norm(const Tensor<T, D>& x, const Tensor<T, D>& gamma, const Tensor<T, D>& beta, double eps) {
  require<ShapeError>(x.rank() >= 1 && gamma.shape() == Shape{x.dim(-1)} && beta.shape() == gamma.shape(),
                      "layer_norm: input ", x.shape(), ", gamma ", gamma.shape(), ", beta ", beta.shape());
  const std::int64_t channels = x.dim(-1), rows = x.size() / std::max<std::int64_t>(1, channels);
  Normalized<T, D> out{Tensor<T, D>(x.shape()), Tensor<T, D>(Shape{rows}), Tensor<T, D>(Shape{rows})};
  backend::layer_norm(D{}, rows, channels, static_cast<T>(eps), x.data(), gamma.data(), beta.data(), out.y.data(),
                      out.mean.data(), out.rstd.data());
  return out;
}

/// Gradient of `layer_norm`.
template <class T, class D>
NormalizeGradients<T, D> layer_norm_backward(const Tensor<T, D>& gy, const Tensor<T, D>& x, const Tensor<T, D>& gamma,
                                             const Tensor<T, D>& mean, const Tensor<T, D>& rstd) {
  const std::int64_t channels = x.dim(-1), rows = x.size() / std::max<std::int64_t>(1, channels);
  const std::int64_t grain = std::max<std::int64_t>(64, 16384 / channels);
  const std::int64_t chunks = std::max<std::int64_t>(1, (rows + grain - 1) / grain);
  NormalizeGradients<T, D> out{Tensor<T, D>(x.shape()), {}, {}};
  const Tensor<T, D> ggamma(Shape{chunks, channels}), gbeta(Shape{chunks, channels});
  backend::layer_norm_backward(D{}, rows, channels, grain, gy.data(), x.data(), gamma.data(), mean.data(), rstd.data(),
                               out.x.data(), ggamma.data(), gbeta.data());
  out.gamma = sum_to_channels(ggamma);
  out.beta = sum_to_channels(gbeta);
  return out;
}

}  // namespace hypersd::ops
