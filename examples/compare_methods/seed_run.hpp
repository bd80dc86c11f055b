// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "results.hpp"

#include <fashion/terminal.hpp>
#include <hypersd/io/npy.hpp>

#include <chrono>
#include <set>

namespace compare {

/// Evaluation noise and captions, the classes in turn: the same for every method.
struct Prompts {
  Tensor<std::int32_t> labels, captions;
  Tensor<float> noise;
  Prompts(const fashion::Dataset& data, std::int64_t n, std::uint64_t seed, const char* name)
      : labels(Shape{n}), noise(ops::normal<float>(Shape{n, 8, 8, 4}, stream(seed, name))) {
    for (std::int64_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i % data.classes());
    captions = data.captions(labels);
  }
};

/// The settings that decide a seed's results. Methods and steps are not among them: they may be added later.
inline pipeline::RunOptions settings_of(const StudyOptions& o, const fashion::Options& seed) {
  auto list = fashion::settings_of(seed);
  const std::set<std::string> main_job{
      "stage-steps",       "stages",          "steps", "baseline",       "distance",       "eta",
      "teacher-policy",    "pairs",           "skip",  "one-step-steps", "one-step-lr",    "one-step-time",
      "regression-weight", "preserve-weight", "rated", "reward-steps",   "feedback-steps", "feedback-lr",
      "stay-close",        "instance-weight"};
  std::erase_if(list, [&](const auto& s) { return main_job.contains(s.first); });
  list.emplace_back("budget", io::number(o.budget));
  list.emplace_back("pairs", std::to_string(o.pairs));
  return list;
}

/// Trains and measures `methods` for one seed, skipping what the folder has already. Returns the rows.
std::vector<Row> run_seed(const StudyOptions& options, std::uint64_t seed, const std::vector<Method>& methods,
                          const Progress& progress);

/// Pictures of a method: one class a sample, decoded; [classes, 32, 32, 1] for each number of steps.
std::string picture_file(const StudyOptions& o, std::uint64_t seed, const std::string& method, int steps);

}  // namespace compare
