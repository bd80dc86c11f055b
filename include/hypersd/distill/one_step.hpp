// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/distill/objective.hpp>

/// \file
/// What the objectives that match a distribution share.

namespace hypersd::distill {

/// Uniform times in [low T, high T], one a sample.
inline diffusion::Times times_within(const diffusion::NoiseTable& table, double low, double high, std::int64_t batch,
                                     Stream s) {
  require<OptionError>(0 <= low && low <= high && high <= 1, "times within [", low, ", ", high, "] of the table");
  const int first = static_cast<int>(low * table.size());
  const int last = std::min(table.size() - 1, static_cast<int>(high * table.size()));
  diffusion::Times out;
  for (std::int64_t b = 0; b < batch; ++b)
    out.push_back(first + static_cast<int>(integer_at(s, static_cast<std::uint64_t>(b), last - first + 1)));
  return out;
}

/// Clean data that `prediction(x, t, condition)` of a frozen network stands for, guided sample by sample.
template <diffusion::Prediction P, class Net, class T, class D, class C>
Tensor<T, D> predicted_x0(const Net& net, const diffusion::NoiseTable& table, P, const Tensor<T, D>& x,
                          const diffusion::Times& t, const diffusion::GuidedCondition<C>& condition,
                          const std::vector<double>& guidance) {
  const auto f = diffusion::predict_guided(net, x, diffusion::time_tensor<T, D>(t), condition, guidance);
  return diffusion::x0_of(table, P{}, x, f, t);
}

}  // namespace hypersd::distill
