// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/text.hpp>

#include <map>
#include <string>
#include <vector>

namespace compare {

/// A method's settings by name: `rate` is the student's learning rate, `decay` that of the target network, `grid` the
/// steps of the teacher's solver; the others are named where a method reads them.
using Settings = std::map<std::string, double>;

/// Where a method's guidance is.
enum class Guidance {
  trained,  ///< in the student's weights: a student for each scale
  sampled,  ///< a scale of the sampler: one student, or the teacher itself
  none      ///< learned from data alone
};

/// What tables and pictures say of a method; the same for every device.
struct Description {
  std::string name, title;
  std::string source;            ///< paper
  bool preserves = true;         ///< follows the teacher's trajectories
  bool model_per_count = false;  ///< has one student for each number of steps
  bool trained = true;           ///< not the teacher itself
  Guidance guidance = Guidance::trained;
  std::vector<std::string> samplers;  ///< the first is the one that the tables show
  Settings settings;                  ///< without --vary
};

/// "rate 0.001, decay 0.95".
inline std::string settings_text(const Settings& settings) {
  std::string out;
  for (const auto& [name, value] : settings) out += (out.empty() ? "" : ", ") + name + " " + hypersd::io::number(value);
  return out;
}

}  // namespace compare
