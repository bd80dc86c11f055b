// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "method.hpp"
#include "results.hpp"

#include <fashion/prompts.hpp>
#include <fashion/terminal.hpp>
#include <hypersd/io/npy.hpp>

#include <chrono>

namespace compare {

/// The settings that decide a seed's results. Methods and steps are not among them: they may be added later.
inline records::RunOptions settings_of(const StudyOptions& o, const fashion::Options& seed) {
  auto list = fashion::shared_settings(seed);
  list.emplace_back("budget", io::number(o.budget));
  list.emplace_back("pairs", std::to_string(o.pairs));
  return list;
}

/// Trains and measures `methods` for one seed, skipping what the folder has already. Returns the rows.
template <Device D>
std::vector<Row> run_seed(const StudyOptions& options, std::uint64_t seed, const std::vector<Method<D>>& methods,
                          const Progress& progress);

/// Pictures of a method: one class a sample, decoded; [classes, 32, 32, 1] for each number of steps.
std::string picture_file(const StudyOptions& o, std::uint64_t seed, const std::string& method, int steps);

}  // namespace compare
