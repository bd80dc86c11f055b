// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/random.hpp>
#include <vector>

namespace gaussian_features {

/// n draws of N(mean, diag(scale^2)).
inline hypersd::Tensor<double> gaussian(std::int64_t n, const std::vector<double>& mean,
                                        const std::vector<double>& scale, std::string_view name) {
  const auto features = static_cast<std::int64_t>(mean.size());
  auto x = hypersd::ops::normal<double>(hypersd::Shape{n, features}, hypersd::stream(3, name));
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const auto f = static_cast<std::size_t>(i % features);
    x[i] = mean[f] + scale[f] * x[i];
  }
  return x;
}

}  // namespace gaussian_features
