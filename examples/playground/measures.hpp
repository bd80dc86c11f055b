// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "methods.hpp"

#include <hypersd/diffusion/timesteps.hpp>
#include <hypersd/diffusion/two_times.hpp>

namespace playground {

inline double mean_distance(const Tensor<float>& a, const Tensor<float>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    for (std::int64_t j = 0; j < b.dim(0); ++j)
      sum += std::hypot(static_cast<double>(a[2 * i]) - b[2 * j], static_cast<double>(a[2 * i + 1]) - b[2 * j + 1]);
  return sum / static_cast<double>(a.dim(0) * b.dim(0));
}

/// Energy distance 2 E|x - y| - E|x - x'| - E|y - y'| of two sets of points: 0 only for equal distributions.
inline double energy_distance(const Tensor<float>& x, const Tensor<float>& y) {
  return 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y);
}

/// Mean distance of row i of a from row i of b.
inline double mean_gap(const Tensor<float>& a, const Tensor<float>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    sum += std::hypot(static_cast<double>(a[2 * i]) - b[2 * i], static_cast<double>(a[2 * i + 1]) - b[2 * i + 1]);
  return sum / static_cast<double>(a.dim(0));
}

/// How far one evaluation's guess of the trajectory's end is off along the teacher's trajectory, at each time: the
/// error that Figure 3 of the paper speaks of.
struct ErrorCurve {
  std::string name;
  std::vector<double> t, error;
};
template <Device D, diffusion::DiffusionProcess Pr>
ErrorCurve error_along_t(const World<D, Pr>& w, const std::string& name, const Net<D>& net,
                         const std::vector<Tensor<float>>& trajectory) {
  const auto steps = static_cast<int>(trajectory.size()) - 1;
  ErrorCurve out{name, {}, {}};
  for (int i = 0; i < steps; ++i) {
    const diffusion::Time time = w.process().grid(steps)[static_cast<std::size_t>(i)];
    const Tensor<float>& x = trajectory[static_cast<std::size_t>(i)];
    const diffusion::Times t(static_cast<std::size_t>(x.dim(0)), time), end(t.size(), w.process().first());
    const auto on_device = x.template to<D>();
    const auto f = diffusion::predict_between(w.process(), net, on_device, t, end, Unconditional{}).template to<Cpu>();
    out.t.push_back(w.process().network_time(time));
    out.error.push_back(mean_gap(diffusion::jump(w.process(), x, f, t, end), trajectory.back()));
  }
  return out;
}

}  // namespace playground
