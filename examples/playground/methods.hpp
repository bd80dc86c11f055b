// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "world.hpp"

#include <functional>
#include <map>

namespace playground {

/// Students by number of sampling steps: the same for all, or one each.
template <Device D>
using Students = std::map<int, Net<D>>;

/// How samples are drawn from a student; noise and samples are the host's.
template <Device D>
using Draw = std::function<Tensor<float>(const Net<D>&, const Tensor<float>& noise, int steps)>;

template <Device D, diffusion::DiffusionProcess Pr>
struct Method {
  std::string name, title;
  std::function<Students<D>(const World<D, Pr>&)> train;
  Draw<D> draw;
  bool (*takes)(int steps) = [](int) { return true; };  ///< other numbers of steps are left out
  bool policies = false;                                ///< students are no denoisers, `path` does not take them
};

/// The student for a number of steps: that of the largest key not above it, or the smallest.
template <Device D>
const Net<D>& student_for(const Students<D>& s, int steps) {
  const Net<D>* best = &s.begin()->second;
  for (const auto& [n, net] : s)
    if (n <= steps) best = &net;
  return *best;
}

/// Every method of the library, the teacher first.
template <Device D, diffusion::DiffusionProcess Pr>
std::vector<Method<D, Pr>> all_methods();

/// TSCD's student after each stage, by its number of segments 8, 4, 2, 1.
template <Device D, diffusion::DiffusionProcess Pr>
Students<D> tscd_stages(const World<D, Pr>& w);

/// Positions x at each of `steps` + 1 times of deterministic sampling, beginning with the noise.
template <Device D, diffusion::DiffusionProcess Pr>
std::vector<Tensor<float>> path(const World<D, Pr>& w, const Net<D>& net, const Tensor<float>& noise, int steps);

}  // namespace playground
