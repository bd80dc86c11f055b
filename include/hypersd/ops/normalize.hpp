// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/group_norm.hpp>
#include <hypersd/ops/cpu/in_float.hpp>
#include <hypersd/ops/cpu/layer_norm.hpp>
#include <hypersd/ops/reduce.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/group_norm.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#include <hypersd/ops/cuda/layer_norm.hpp>
#endif

/// \file
/// Group normalisation (Wu and He, 2018), layer normalisation (Ba et al., 2016) and root mean square normalisation,
/// channels last. The SiLU that
/// follows a group normalisation in a diffusion UNet can be fused.

namespace hypersd::ops {

/// Result of a normalisation, with the mean and 1 / standard deviation of each group (or row) for the backward pass.
template <class T, class D>
struct Normalized {
  Tensor<T, D> y;
  Tensor<Accumulator<T>, D> mean, rstd;
};
/// Gradients of a normalisation; `gamma` and `beta` are undefined unless they were requested.
template <class T, class D>
struct NormalizeGradient {
  Tensor<T, D> x, gamma, beta;
};

namespace detail {

template <class T, class D>
Normalized<T, D> narrowed(const Normalized<float, D>& n) {
  return {cast<T>(n.y), n.mean, n.rstd};
}
template <class T, class D>
NormalizeGradient<T, D> narrowed(const NormalizeGradient<float, D>& g) {
  if (!g.gamma.defined()) return {cast<T>(g.x), {}, {}};
  return {cast<T>(g.x), cast<T>(g.gamma), cast<T>(g.beta)};
}

template <class T, class D>
void require_channels(const char* op, const Shape& x, const Tensor<T, D>& gamma, const Tensor<T, D>& beta) {
  require<ShapeError>(x.rank() >= 1, op, ": input ", x, " has no channels");
  require<ShapeError>(!gamma.defined() || gamma.shape() == Shape{x[-1]}, op, ": input ", x, " and gamma ",
                      gamma.shape());
  require<ShapeError>(!beta.defined() || beta.shape() == Shape{x[-1]}, op, ": input ", x, " and beta ", beta.shape());
}

inline GroupNormGeometry group_norm_geometry(const Shape& x, std::int64_t groups) {
  require<ShapeError>(x.rank() >= 2 && groups >= 1 && x[-1] % groups == 0, "group_norm: input ", x,
                      " cannot be split into ", groups, " groups");
  const std::int64_t samples = std::max<std::int64_t>(1, x[0] * x[-1]);
  return {x[0], x.numel() / samples, x[-1], groups};
}

}  // namespace detail

/// y = act(gamma (x - mean) / sqrt(var + eps) + beta) for x [B, ..., C], gamma and beta [C] (undefined: 1 and 0).
/// Mean and biased variance are those of each sample and group of C / groups consecutive channels; `mean` and `rstd`
/// of the result are [B, groups]. Throws ShapeError.
template <class T, class D>
Normalized<T, D> group_norm(const Tensor<T, D>& x, const Tensor<T, D>& gamma, const Tensor<T, D>& beta,
                            std::int64_t groups, double eps = 1e-5, Activation activation = Activation::none) {
  const GroupNormGeometry g = detail::group_norm_geometry(x.shape(), groups);
  detail::require_channels("group_norm", x.shape(), gamma, beta);
  if constexpr (detail::in_float<T, D>) {
    return detail::narrowed<T>(
        group_norm(detail::wide(x), detail::wide(gamma), detail::wide(beta), groups, eps, activation));
  } else {
    const Tensor<Accumulator<T>, D> mean(Shape{g.batch, groups}), rstd(Shape{g.batch, groups});
    const Tensor<T, D> y(x.shape());
    backend::group_norm(D{}, g, x.data(), gamma.data(), beta.data(), eps, activation, y.data(), mean.data(),
                        rstd.data());
    return {y, mean, rstd};
  }
}

/// Backward pass of `group_norm` for the gradient `gy` of its result; `parameters` requests the gradients of gamma and
/// beta. Throws ShapeError.
template <class T, class D>
NormalizeGradient<T, D> group_norm_gradient(const Tensor<T, D>& gy, const Tensor<T, D>& x, const Tensor<T, D>& gamma,
                                            const Tensor<T, D>& beta, const Tensor<Accumulator<T>, D>& mean,
                                            const Tensor<Accumulator<T>, D>& rstd, Activation activation,
                                            bool parameters) {
  const GroupNormGeometry g = detail::group_norm_geometry(x.shape(), mean.dim(1));
  require_same_shape("group_norm_gradient", gy.shape(), x.shape());
  if constexpr (detail::in_float<T, D>) {
    return detail::narrowed<T>(group_norm_gradient(detail::wide(gy), detail::wide(x), detail::wide(gamma),
                                                   detail::wide(beta), mean, rstd, activation, parameters));
  } else {
    NormalizeGradient<T, D> out{Tensor<T, D>(x.shape()), {}, {}};
    Tensor<Accumulator<T>, D> gamma_parts, beta_parts;  // a row a sample, summed in order
    if (parameters) {
      gamma_parts = Tensor<Accumulator<T>, D>(Shape{g.batch, g.channels});
      beta_parts = Tensor<Accumulator<T>, D>(Shape{g.batch, g.channels});
    }
    backend::group_norm_gradient(D{}, g, gy.data(), x.data(), gamma.data(), beta.data(), mean.data(), rstd.data(),
                                 activation, out.x.data(), gamma_parts.data(), beta_parts.data());
    if (parameters) {
      out.gamma = cast<T>(sum_to_channels(gamma_parts));
      out.beta = cast<T>(sum_to_channels(beta_parts));
    }
    return out;
  }
}

namespace detail {

/// Layer normalisation, or root mean square normalisation if not `centered`.
template <class T, class D>
Normalized<T, D> normalize_rows(bool centered, const Tensor<T, D>& x, const Tensor<T, D>& gamma,
                                const Tensor<T, D>& beta, double eps) {
  const std::int64_t cols = x.dim(-1), rows = x.size() / std::max<std::int64_t>(1, cols);
  if constexpr (in_float<T, D>) {
    return narrowed<T>(normalize_rows(centered, wide(x), wide(gamma), wide(beta), eps));
  } else {
    const Tensor<Accumulator<T>, D> mean(Shape{rows}), rstd(Shape{rows});
    const Tensor<T, D> y(x.shape());
    backend::layer_norm(D{}, rows, cols, centered, x.data(), gamma.data(), beta.data(), eps, y.data(), mean.data(),
                        rstd.data());
    return {y, mean, rstd};
  }
}

template <class T, class D>
NormalizeGradient<T, D> normalize_rows_gradient(bool centered, const Tensor<T, D>& gy, const Tensor<T, D>& x,
                                                const Tensor<T, D>& gamma, const Tensor<Accumulator<T>, D>& mean,
                                                const Tensor<Accumulator<T>, D>& rstd, bool parameters) {
  const std::int64_t cols = x.dim(-1), rows = x.size() / std::max<std::int64_t>(1, cols);
  if constexpr (in_float<T, D>) {
    return narrowed<T>(normalize_rows_gradient(centered, wide(gy), wide(x), wide(gamma), mean, rstd, parameters));
  } else {
    NormalizeGradient<T, D> out{Tensor<T, D>(x.shape()), {}, {}};
    Tensor<Accumulator<T>, D> gamma_parts, beta_parts;
    const std::int64_t slabs = layer_norm_slabs(rows);
    if (parameters) {
      gamma_parts = Tensor<Accumulator<T>, D>(Shape{slabs, cols});
      beta_parts = Tensor<Accumulator<T>, D>(Shape{slabs, cols});
    }
    backend::layer_norm_gradient(D{}, rows, cols, slabs, centered, gy.data(), x.data(), gamma.data(), mean.data(),
                                 rstd.data(), out.x.data(), gamma_parts.data(), beta_parts.data());
    if (parameters) {
      out.gamma = cast<T>(sum_to_channels(gamma_parts));
      out.beta = cast<T>(sum_to_channels(beta_parts));
    }
    return out;
  }
}

}  // namespace detail

/// y = gamma (x - mean) / sqrt(var + eps) + beta over the last axis of x [..., C]; gamma and beta [C] (undefined: 1
/// and 0). `mean` and `rstd` of the result have one element a row. Throws ShapeError.
template <class T, class D>
Normalized<T, D> layer_norm(const Tensor<T, D>& x, const Tensor<T, D>& gamma, const Tensor<T, D>& beta,
                            double eps = 1e-5) {
  detail::require_channels("layer_norm", x.shape(), gamma, beta);
  return detail::normalize_rows(true, x, gamma, beta, eps);
}

/// Backward pass of `layer_norm` for the gradient `gy` of its result; `parameters` requests the gradients of gamma and
/// beta. Throws ShapeError.
template <class T, class D>
NormalizeGradient<T, D> layer_norm_gradient(const Tensor<T, D>& gy, const Tensor<T, D>& x, const Tensor<T, D>& gamma,
                                            const Tensor<Accumulator<T>, D>& mean,
                                            const Tensor<Accumulator<T>, D>& rstd, bool parameters) {
  require_same_shape("layer_norm_gradient", gy.shape(), x.shape());
  return detail::normalize_rows_gradient(true, gy, x, gamma, mean, rstd, parameters);
}

/// Root mean square normalisation (Zhang and Sennrich, 2019): y = gamma x / sqrt(mean(x^2) + eps) over the last axis of
/// x [..., C]; gamma [C] (undefined: 1). `mean` of the result is 0. Throws ShapeError.
template <class T, class D>
Normalized<T, D> rms_norm(const Tensor<T, D>& x, const Tensor<T, D>& gamma, double eps = 1e-6) {
  detail::require_channels("rms_norm", x.shape(), gamma, Tensor<T, D>{});
  return detail::normalize_rows(false, x, gamma, Tensor<T, D>{}, eps);
}

/// Backward pass of `rms_norm` for the gradient `gy` of its result `forward`; `parameters` requests the gradient of
/// gamma. Throws ShapeError.
template <class T, class D>
NormalizeGradient<T, D> rms_norm_gradient(const Tensor<T, D>& gy, const Tensor<T, D>& x, const Tensor<T, D>& gamma,
                                          const Tensor<Accumulator<T>, D>& mean, const Tensor<Accumulator<T>, D>& rstd,
                                          bool parameters) {
  require_same_shape("rms_norm_gradient", gy.shape(), x.shape());
  auto out = detail::normalize_rows_gradient(false, gy, x, gamma, mean, rstd, parameters);
  out.beta = {};
  return out;
}

}  // namespace hypersd::ops
