// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace compare {

/// What tables and pictures say of a method; the same for every device.
struct Description {
  std::string name, title;
  std::string source;                 ///< paper
  bool preserves = true;              ///< follows the teacher's trajectories
  bool model_per_count = false;       ///< has one student for each number of steps
  bool trained = true;                ///< not the teacher itself
  bool guided = true;                 ///< learns the guided teacher, not data alone
  std::vector<std::string> samplers;  ///< the first is the one that the tables show
};

}  // namespace compare
