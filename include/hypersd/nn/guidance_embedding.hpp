// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/tensor.hpp>
#include <vector>

namespace hypersd::nn {

/// Sinusoidal features [B, dim] of guidance weights w [B]: sin(1000 w f_i) for all i, then cos, with
/// f_i = 10000^(-i / (half - 1)), half = dim / 2; an odd dim ends in a zero. Angles are computed in double, since they
/// reach 10^4. Throws ShapeError unless w has one axis, OptionError for dim < 4.
template <class T, class D>
Tensor<T, D> guidance_embedding(const Tensor<T, D>& w, std::int64_t dim = 256) {
  require<ShapeError>(w.rank() == 1, "guidance embedding: weights of shape ", w.shape(), ", [B] needed");
  require<OptionError>(dim >= 4, "guidance embedding: dim = ", dim, ", at least 4 needed");
  const std::int64_t half = dim / 2;
  std::vector<T> out;
  for (const T weight : w.to_vector()) {
    const auto angle = [&](std::int64_t i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(half - 1);
      return 1000 * static_cast<double>(weight) * std::pow(10000.0, -exponent);
    };
    for (std::int64_t i = 0; i < half; ++i) out.push_back(static_cast<T>(std::sin(angle(i))));
    for (std::int64_t i = 0; i < half; ++i) out.push_back(static_cast<T>(std::cos(angle(i))));
    if (dim % 2 != 0) out.push_back(T(0));
  }
  return Tensor<T, D>::from(Shape{w.size(), dim}, out);
}

}  // namespace hypersd::nn
