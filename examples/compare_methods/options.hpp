// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <common/program.hpp>
#include <fashion/add_types.hpp>
#include <hypersd/io/text.hpp>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace compare {

using namespace hypersd;

/// What a study depends on. `base` holds what all methods share: data, autoencoder, classifier, teacher, adapter.
struct StudyOptions {
  fashion::Options base;
  std::vector<std::string> methods;  ///< names; empty: all
  std::vector<std::int64_t> steps = {1, 2, 4, 8};
  std::vector<double> guidance = {fashion::Options{}.guidance};  ///< trained in; the tables show the first
  /// A setting and values to train with in turn, beside the method's own, in every method that has it; may be empty.
  std::string varied;
  std::vector<double> values = {};
  int seeds = 3;
  std::uint64_t first_seed = 0;
  double budget = 200;       ///< thousands of network evaluations that each method may spend on training
  std::int64_t pairs = 512;  ///< (noise, end point) pairs of the teacher for DMD's regression
};

/// `options` with the teacher's guidance around `guidance`.
inline fashion::Options with_guidance(fashion::Options options, double guidance) {
  const double half = (options.guidance_max - options.guidance_min) / 2;
  options.guidance = guidance;
  options.guidance_min = guidance - half;
  options.guidance_max = guidance + half;
  return options;
}
/// What the names of files and phases end in: nothing for the default guidance and a method's own settings.
inline std::string suffix_of(double guidance, const std::string& varied) {
  return (guidance == fashion::Options{}.guidance ? "" : "_g" + io::number(guidance)) +
         (varied.empty() ? "" : "_" + varied);
}

/// Reads "rate=0.0003,0.001"; `known` are the settings of all methods. Throws CLI::ValidationError.
inline void parse_varied(StudyOptions& o, const std::string& text, const std::set<std::string>& known) {
  const auto refuse = [&](const std::string& why) { throw CLI::ValidationError("--vary", io::in_quotes(text) + why); };
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) refuse(" is not NAME=VALUE,VALUE...");
  o.varied = text.substr(0, equals);
  if (!known.contains(o.varied)) {
    std::string names;
    for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
    refuse(": no method has this setting; there are " + names);
  }
  std::stringstream list(text.substr(equals + 1));
  for (std::string item; std::getline(list, item, ',');) {
    double value = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    if (error != std::errc() || end != item.data() + item.size() || !(value > 0 && value <= 1e6))
      refuse(": " + io::in_quotes(item) + " is not a number above 0");
    o.values.push_back(value);
  }
  if (o.values.empty()) refuse(" has no values");
}

/// Decay of the target of every method, for a grid of 40 points.
inline constexpr double slow_target = 0.95;

/// A small study: less training of everything, and a budget of a tenth.
inline void make_quick(StudyOptions& o) {
  fashion::make_quick(o.base);
  o.base.teacher_steps = 800;
  o.base.ema_target = slow_target;
  o.base.eval_samples = 300;
  o.seeds = 1;
  o.budget = 10;
  o.pairs = 64;
}

/// Reads the command line; `known` are the names of all methods, `settings` those of what they can vary, `text`
/// describes them. Throws CLI::ParseError.
inline StudyOptions parse_options(int argc, char** argv, const std::vector<std::string>& known,
                                  const std::set<std::string>& settings, const std::string& text) {
  StudyOptions o;
  o.base.out = "runs/compare";
  o.base.eval_samples = 1000;
  o.base.ema_target = slow_target;
  CLI::App app{
      "Distils one teacher by many methods with equal budgets and compares them: same data, adapter, noise and seeds.\n"
      "Writes compare.csv and .jsonl, pictures, tables.md and report.html to a run folder. A study that was stopped "
      "goes\n"
      "on with --resume; methods and seeds can be added to it.\n\n" +
          text,
      "hypersd_compare_methods"};
  bool quick = false;
  app.add_flag("--quick", quick, "small study of one seed, some minutes on 2 cores");
  app.add_option("--methods", o.methods, "which, by name (default: all)")->delimiter(',')->check(CLI::IsMember(known));
  app.add_option("--steps", o.steps, "numbers of sampling steps")
      ->delimiter(',')
      ->capture_default_str()
      ->check(program::whole(1, 1000));
  app.add_option("--guidance", o.guidance,
                 "guidance scales to train in, each with students of its own; the tables show the first")
      ->delimiter(',')
      ->capture_default_str()
      ->check(program::real(1.25, 100));
  app.add_option_function<std::string>(
         "--vary", [&](const std::string& given) { parse_varied(o, given, settings); },
         "NAME=VALUE,VALUE...: students also with these values of a setting, in every method that has it")
      ->type_name("TEXT");
  app.add_option("--seeds", o.seeds, "how many seeds; each trains everything anew")
      ->capture_default_str()
      ->check(program::whole(1, 100));
  app.add_option("--seed", o.first_seed, "the first seed")->capture_default_str();
  app.add_option("--budget", o.budget,
                 "training budget of each method: network evaluations (samples) in thousands,\n"
                 "a pass with gradient counted three times")
      ->capture_default_str()
      ->check(program::real(0.1, 1e9));
  app.add_option("--out", o.base.out, "run folder; made if missing")->capture_default_str();
  app.add_option("--data", o.base.data, "folder with IDX images and labels, .gz or not")->capture_default_str();
  app.add_flag("--resume", o.base.resume, "continue the study in --out");
  program::add_device(app, o.base.device);
  fashion::add_types(app, o.base);
  app.add_option("--threads", o.base.threads, "CPU threads, 0: all")
      ->capture_default_str()
      ->check(program::whole(0, 1024));
  app.add_option("--eval-samples", o.base.eval_samples, "samples for the metrics")
      ->check(program::whole(20, 1000000))
      ->capture_default_str();
  app.add_option("--autoencoder-steps", o.base.autoencoder_steps, "training steps")
      ->check(program::iterations())
      ->capture_default_str();
  app.add_option("--classifier-steps", o.base.classifier_steps, "training steps")
      ->check(program::iterations())
      ->capture_default_str();
  app.add_option("--teacher-steps", o.base.teacher_steps, "training steps")
      ->check(program::iterations())
      ->capture_default_str();
  app.add_option("--latent-images", o.base.latent_images, "training images")
      ->check(program::whole(1, 1000000))
      ->capture_default_str();
  app.add_option("--pairs", o.pairs, "teacher's (noise, end point) pairs for DMD")
      ->check(program::whole(1, 1000000))
      ->capture_default_str();
  program::parse(app, argc, argv);
  if (quick) {
    // A second pass puts what was typed on top of the small study's values.
    o = {};
    o.base.out = "runs/compare";
    make_quick(o);
    app.clear();
    program::parse(app, argc, argv);
  }
  require<OptionError>(o.pairs >= o.base.distill_batch, "--pairs: ", o.pairs, " are fewer than a batch, ",
                       o.base.distill_batch);
  // A pair is 25 guided steps.
  const double spent = o.methods.empty() || std::count(o.methods.begin(), o.methods.end(), "dmd") > 0
                           ? 0.05 * static_cast<double>(o.pairs)
                           : 0;
  require<OptionError>(spent < o.budget, "--budget: ", o.budget, " thousand evaluations; dmd spends ", spent,
                       " thousand on --pairs before it trains");
  return o;
}

}  // namespace compare
