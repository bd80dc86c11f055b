// SPDX-License-Identifier: Apache-2.0
#include <fashion/command_line.hpp>
//
#include <CLI/CLI.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

/// The options of a command line, parted by the strings of `typed`.
fashion::Options parsed(std::vector<std::string> typed) {
  typed.insert(typed.begin(), "hypersd_fashion");
  std::vector<char*> arguments;
  for (std::string& word : typed) arguments.push_back(word.data());
  return fashion::parse_options(static_cast<int>(arguments.size()), arguments.data());
}
void refused(const char* option, const char* value, const char* reason) {
  CAPTURE(option);
  CAPTURE(value);
  const std::string message = std::string(option) + ": " + reason;
  CHECK_THROWS_WITH_AS((void)parsed({option, value}), message.c_str(), CLI::ValidationError);
  CHECK_THROWS_AS((void)parsed({"--quick", option, value}), CLI::ValidationError);
}

}  // namespace

TEST_CASE("Numbers that are in range are taken") {
  const auto o = parsed({"--seed", "18446744073709551615", "--eta", "0.5", "--rank", "4096", "--stages", "4,1",
                         "--stage-steps", "7,8", "--regression-weight", "0", "--distill-lr", "1e-4"});
  CHECK(o.seed == UINT64_MAX);
  CHECK(o.eta == 0.5);
  CHECK(o.rank == 4096);
  CHECK(o.stage_segments == std::vector{4, 1});
  CHECK(o.stage_steps == std::vector<std::int64_t>{7, 8});
  CHECK(o.regression_weight == 0);
  CHECK(o.distill_lr == 1e-4);
  CHECK(parsed({"--quick", "--pairs", "9"}).pairs == 9);
}

TEST_CASE("NaN and infinity are refused with the option's name") {
  for (const char* option : {"--eta", "--regression-weight", "--guidance", "--guidance-min", "--noise-offset",
                             "--distill-lr", "--ema-target", "--jump-exponent"})
    for (const char* value : {"nan", "inf", "-inf", "1e999"})
      refused(option, value, ("'" + std::string(value) + "' is not a finite number").c_str());
}

TEST_CASE("Integers that are too long or have the wrong sign are refused, not changed") {
  refused("--seed", "-1", "'-1' is not a whole number between 0 and 18446744073709551615");
  refused("--seed", "18446744073709551616",
          "'18446744073709551616' is not a whole number between 0 and 18446744073709551615");
  refused("--pairs", "99999999999999999999", "'99999999999999999999' is not a whole number of at most 64 bits");
  refused("--threads", "2.5", "'2.5' is not a whole number of at most 64 bits");
}

TEST_CASE("Sizes that would overflow what is computed from them are refused before anything is trained") {
  refused("--rank", "9223372036854775807", "'9223372036854775807' is not a whole number from 1 to 4096");
  refused("--pairs", "4611686018427387904", "'4611686018427387904' is not a whole number from 1 to 1000000");
  refused("--teacher-steps", "0", "'0' is not a whole number from 1 to 1000000000");
  refused("--distill-lr", "0", "'0' is not a number above 0, up to 1e6");
  refused("--regression-weight", "-1", "'-1' is not a number from 0 to 1e+06");
  refused("--stages", "1001", "'1001' is not a whole number from 1 to 1000");
}

TEST_CASE("Stages need as many grid points as segments, and the grid a divisor of the training times") {
  CHECK(parsed({"--stages", "40", "--stage-steps", "1"}).grid_points == 40);
  CHECK(parsed({"--grid-points", "50", "--stages", "50", "--stage-steps", "1"}).stage_segments == std::vector{50});
  CHECK_THROWS_WITH_AS((void)parsed({"--stages", "41", "--stage-steps", "1"}),
                       doctest::Contains("--stages: k = 41 is not in [1, 40]"), hypersd::OptionError);
  CHECK_THROWS_WITH_AS((void)parsed({"--grid-points", "7"}), doctest::Contains("--stages: k = 8 is not in [1, 7]"),
                       hypersd::OptionError);
  CHECK_THROWS_WITH_AS((void)parsed({"--grid-points", "48"}),
                       doctest::Contains("--grid-points: 48 does not divide 1000"), hypersd::OptionError);
}

TEST_CASE("A preset is taken whole, and what was typed goes on top of it") {
  for (const char* preset : {"--quick", "--full"}) {
    const auto o = parsed({preset});
    CHECK("--" + o.preset == preset);
    CHECK(o.stage_segments.size() == o.stage_steps.size());
  }
  const auto quick = parsed({"--quick", "--teacher-batch", "5", "--ema-target", "0.9"}), usual = parsed({});
  CHECK(quick.teacher_batch == 5);
  CHECK(quick.ema_target == 0.9);
  CHECK(quick.skip == std::vector<std::string>{"one-step", "one-step-unet"});
  CHECK(parsed({"--quick", "--skip", "feedback"}).skip == std::vector<std::string>{"feedback"});
  // Less work than the default in each part that takes long.
  CHECK(quick.teacher_steps * 32 < usual.teacher_steps * usual.teacher_batch);
  CHECK(quick.autoencoder_steps * quick.autoencoder_batch < usual.autoencoder_steps * usual.autoencoder_batch);
  CHECK(quick.eval_samples < usual.eval_samples);
}

TEST_CASE("Options without a check of their own are checked as numbers") {
  double scale = 1;
  std::uint64_t count = 1;
  CLI::App app("text", "name");
  auto* group = app.add_option_group("group", "text");
  group->add_option("--scale", scale, "a number");
  app.add_option("--count", count, "a count");
  for (std::vector<std::string> typed :
       {std::vector<std::string>{"name", "--scale", "nan"}, {"name", "--count", "-1"}}) {
    std::vector<char*> arguments;
    for (std::string& word : typed) arguments.push_back(word.data());
    CHECK_THROWS_WITH_AS(program::parse(app, 3, arguments.data()), doctest::Contains(typed[1].c_str()),
                         CLI::ValidationError);
  }
}
