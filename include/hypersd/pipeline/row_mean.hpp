// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/dist/group.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <sstream>

namespace hypersd::pipeline {

/// `row` with the diagnostics averaged over the ranks that have them: those that rank 0 names, in its order. Loss, rate
/// and norm are the same on all ranks already. All ranks call it.
inline LogRow row_mean(const dist::Group& group, LogRow row) {
  if (group.size() == 1) return row;
  std::string names;
  for (const auto& [name, value] : row.diagnostics) names += name + '\n';
  std::istringstream lines(group.shared(names));
  Diagnostics mean;
  for (std::string name; std::getline(lines, name);) mean.emplace_back(name, 0.0);
  std::vector<double> sums(2 * mean.size());  // values, then how many ranks have one
  for (std::size_t i = 0; i < mean.size(); ++i)
    for (const auto& [name, value] : row.diagnostics)
      if (name == mean[i].first) sums[i] = value, sums[mean.size() + i] = 1;
  group.all_reduce(std::span<double>(sums), dist::Reduce::sum);
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i].second = sums[i] / sums[mean.size() + i];
  row.diagnostics = std::move(mean);
  return row;
}

}  // namespace hypersd::pipeline
