// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <hypersd/core/error.hpp>
#include <string>
#include <vector>

namespace fashion {

/// Everything a run depends on. The values are those of the default budget; `--quick` and `--full` scale them.
struct Options {
  std::string preset = "default", device = "cpu", process = "ddpm", backbone = "unet";
  std::uint64_t seed = 0;
  std::filesystem::path out = "runs/fashion";
  std::filesystem::path data = "/usr/share/datasets/fashion-mnist";
  bool resume = false;
  bool baseline = false;  ///< also distil by TCD (k = 1 from the start) with the same iterations
  int threads = 0;        ///< 0: all

  std::int64_t autoencoder_width = 16, autoencoder_steps = 2200, autoencoder_batch = 32;
  std::int64_t classifier_steps = 1200, classifier_batch = 128;
  std::int64_t latent_images = 60000;  ///< training images that teacher and student see
  std::int64_t teacher_steps = 4100, teacher_batch = 64, channels = 32;
  std::int64_t distill_batch = 64, rank = 32;
  std::vector<int> stage_segments = {8, 4, 2, 1};
  std::vector<std::int64_t> stage_steps = {60, 60, 120, 720};  ///< most at k = 1, which alone trains one step
  double autoencoder_lr = 2e-3, classifier_lr = 2e-3, teacher_lr = 1e-3, distill_lr = 1e-3;
  double critic_lr = 1e-3, adversarial_weight = 3e-3;  // of the hybrid distance
  std::string distance = "huber", teacher_policy = "original";
  double ema_target = 0.5, ema_teacher = 0.998;  ///< (bench/results/recipe.md)
  int grid_points = 40;  ///< steps of the teacher's solver, which the jumps of distillation lie on
  double guidance = 2.0, guidance_min = 1.75, guidance_max = 2.25, condition_dropout = 0.15;
  double noise_offset = 0.0, jump_exponent = 0.0;
  std::int64_t teacher_inference_steps = 25;
  std::vector<std::int64_t> student_steps = {1, 2, 4, 8};
  double eta = 0.25;
  std::int64_t eval_samples = 2000, trajectory_samples = 500, bootstrap = 200;
  std::int64_t pairs = 1024;  ///< noise and end points of the teacher, for the one-step parts
  std::int64_t one_step_steps = 300, unified_steps = 150, one_step_time = 800;
  // The unified adapter must not lose its later steps: it moves slowly, for a short time, held by a large weight.
  // (docs/experiments/recipe_search.md)
  double one_step_lr = 3e-4, unified_lr = 1e-4, regression_weight = 0.25, preserve_weight = 20;
  std::int64_t rated = 1500, reward_steps = 1000;  ///< captions with a picture of each grade; updates of each reward
  std::int64_t feedback_steps = 60;
  double feedback_lr = 1e-5, stay_close_weight = 4, instance_weight = 0.05;
  std::vector<std::string> skip = {};  ///< parts of the recipe to leave out
  std::int64_t checkpoint_every = 200;
};

/// A real but small run, about six minutes of one core. Many updates of few images make more of a given time than few
/// of many. And what guidance adds moves one grid point further with each renewal of the target, so that few iterations
/// want a coarse grid and a fast average. (bench/results/quick.md)
inline void make_quick(Options& o) {
  o.preset = "quick";
  o.autoencoder_steps = 400;
  o.autoencoder_batch = 16;
  o.classifier_steps = 250;
  o.latent_images = 8000;
  o.teacher_steps = 1000;
  o.teacher_batch = 32;
  o.stage_segments = {4, 1};
  o.stage_steps = {80, 320};
  o.grid_points = 8;
  o.pairs = 64;
  o.rated = 100;
  o.reward_steps = 40;
  o.feedback_steps = 6;
  o.distill_batch = 20;
  o.one_step_steps = 36;
  o.unified_steps = 18;
  // From pure noise so few updates of distribution matching only do harm, of all weights even more.
  o.skip = {"one-step", "one-step-unet"};
  o.eval_samples = 400;
  o.trajectory_samples = 50;
  o.bootstrap = 40;
}

/// Three times the default's training.
inline void make_full(Options& o) {
  o.preset = "full";
  o.autoencoder_steps = 4000;
  o.classifier_steps = 3000;
  o.teacher_steps = 14000;
  o.channels = 64;
  o.stage_steps = {400, 400, 800, 1600};
  o.pairs = 4096;
  o.rated = 4000;
  o.reward_steps = 3000;
  o.one_step_steps = 1000;
  o.unified_steps = 500;
  o.eval_samples = 4000;
}

/// Throws OptionError naming the first setting that cannot work.
inline void validate(const Options& o) {
  using hypersd::OptionError;
  using hypersd::require;
  require<OptionError>(o.stage_segments.size() == o.stage_steps.size(), "--stages has ", o.stage_segments.size(),
                       " entries, --stage-steps ", o.stage_steps.size());
  for (const int k : o.stage_segments)
    require<OptionError>(k >= 1 && k <= o.grid_points, "--stages: k = ", k, " is not in [1, ", o.grid_points,
                         "], the solver grid's steps");
  require<OptionError>(1000 % o.grid_points == 0, "--grid-points: ", o.grid_points, " does not divide 1000");
  require<OptionError>(std::is_sorted(o.stage_segments.begin(), o.stage_segments.end(), std::greater_equal<>{}),
                       "--stages: segments must fall from stage to stage, as 8,4,2,1");
  for (const std::int64_t n : o.stage_steps) require<OptionError>(n >= 1, "--stage-steps: ", n, " is below 1");
  for (const std::int64_t n : o.student_steps)
    require<OptionError>(n >= 1 && n <= 1000, "--steps: ", n, " is not in [1, 1000]");
  require<OptionError>(o.teacher_inference_steps <= 1000, "--teacher-inference-steps: ", o.teacher_inference_steps,
                       " is above 1000");
  require<OptionError>(o.channels % 8 == 0, "--channels: ", o.channels, " is not a multiple of 8");
  const std::vector<std::string> parts{"feedback", "one-step", "one-step-" + std::to_string(o.one_step_time),
                                       "one-step-unet"};
  for (const std::string& part : o.skip)
    require<OptionError>(std::find(parts.begin(), parts.end(), part) != parts.end(), "--skip: no part called '", part,
                         "'; there are ", parts[0], ", ", parts[1], ", ", parts[2], " and ", parts[3]);
  require<OptionError>(o.guidance_min <= o.guidance_max, "--guidance-min ", o.guidance_min, " is above --guidance-max ",
                       o.guidance_max);
}

}  // namespace fashion
