// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <common/program.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace fashion {

/// The options of a program that goes on from a finished run of the main job.
struct FollowUp {
  std::filesystem::path run = "runs/fashion", out;
  std::int64_t samples = 1000, classifier_steps = 1200;
  std::vector<std::int64_t> steps = {1, 2, 4, 8};
  bool quick = false, resume = false;
  int threads = 0;
  std::string device = "cpu";
};

/// Reads them and what `own(app)` has added. `small(app)` sets what `--quick` changes beside the samples and the
/// classifier, for options that were not typed. Throws CLI::ParseError.
template <class Own, class Small>
void parse_follow_up(CLI::App& app, FollowUp& o, int argc, char** argv, Own&& own, Small&& small) {
  app.add_option("--run", o.run, "folder of a finished run of the main job")->capture_default_str();
  app.add_option("--out", o.out, "where results go; made if missing")->capture_default_str();
  app.add_flag("--quick", o.quick, "small: a minute or two");
  app.add_flag("--resume", o.resume, "continue in --out from the last checkpoint");
  own(app);
  auto* samples = app.add_option("--samples", o.samples, "samples for each measure");
  samples->check(CLI::Range(20, 10000))->capture_default_str();
  app.add_option("--steps", o.steps, "numbers of steps")->delimiter(',')->check(CLI::Range(1, 1000));
  program::add_device(app, o.device);
  app.add_option("--threads", o.threads, "CPU threads, 0: all")->check(CLI::Range(0, 1024));
  program::parse(app, argc, argv);
  if (!o.quick) return;
  if (samples->count() == 0) o.samples = 200;
  o.classifier_steps = 200;
  small(app);
}

}  // namespace fashion
