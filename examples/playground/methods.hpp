// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "world.hpp"

#include <functional>
#include <map>

namespace playground {

/// Students by number of sampling steps: the same for all, or one each.
using Students = std::map<int, Net>;

/// How samples are drawn from a student.
using Draw = std::function<Tensor<float>(const Net&, const Tensor<float>& noise, int steps)>;

struct Method {
  std::string name, title;
  std::function<Students(const World&)> train;
  Draw draw;
};

/// The student for a number of steps: that of the largest key not above it, or the smallest.
inline const Net& student_for(const Students& s, int steps) {
  const Net* best = &s.begin()->second;
  for (const auto& [n, net] : s)
    if (n <= steps) best = &net;
  return *best;
}

/// Every method of the library, the teacher first.
std::vector<Method> all_methods();

/// Positions x at each of `steps` + 1 times of deterministic sampling, beginning with the noise.
std::vector<Tensor<float>> path(const Net& net, const Tensor<float>& noise, int steps);

}  // namespace playground
