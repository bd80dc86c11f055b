// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/prediction.hpp>

/// \file
/// The model behind the golden chains of solvers.

/// The exact denoiser of data from N(mean, deviation^2 I), by its closed form in double.
template <hypersd::diffusion::Prediction P>
struct GaussianOracle {
  hypersd::diffusion::NoiseTable table;
  hypersd::Tensor<double> mean;
  double deviation;

  template <class T>
  hypersd::Tensor<T> operator()(const hypersd::Tensor<T>& x, const hypersd::Tensor<T>& t,
                                const hypersd::diffusion::Unconditional&) const {
    using namespace hypersd::diffusion;
    hypersd::Tensor<T> out(x.shape());
    const std::int64_t inner = mean.size();
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const Level l = table.level(static_cast<int>(t[i / inner]));
      const double v = deviation * deviation, m = mean[i % inner];
      const double shifted = (static_cast<double>(x[i]) - l.alpha * m) / (l.alpha * l.alpha * v + l.sigma * l.sigma);
      const double eps = l.sigma * shifted, x0 = m + l.alpha * v * shifted;
      double f = l.alpha * eps - l.sigma * x0;
      if (std::same_as<P, Epsilon>) f = eps;
      if (std::same_as<P, X0>) f = x0;
      out[i] = static_cast<T>(f);
    }
    return out;
  }
};
