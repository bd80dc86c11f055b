// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <common/program.hpp>

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
  std::string preset = "default", device = "cpu";
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
  std::vector<std::int64_t> stage_steps = {240, 240, 240, 240};
  double autoencoder_lr = 2e-3, classifier_lr = 2e-3, teacher_lr = 1e-3, distill_lr = 1e-3;
  double critic_lr = 1e-3, adversarial_weight = 3e-3;  // of the hybrid distance
  std::string distance = "mse", teacher_policy = "original";
  double ema_target = 0.95, ema_teacher = 0.998;
  double guidance = 2.0, guidance_min = 1.75, guidance_max = 2.25, condition_dropout = 0.15;
  double noise_offset = 0.0, jump_exponent = 0.0;
  std::int64_t teacher_inference_steps = 25;
  std::vector<std::int64_t> student_steps = {1, 2, 4, 8};
  double eta = 0.25;
  std::int64_t eval_samples = 2000, trajectory_samples = 500, bootstrap = 200;
  std::int64_t pairs = 1024;  ///< noise and end points of the teacher, for the one-step parts
  std::int64_t one_step_steps = 300, one_step_time = 800;
  double one_step_lr = 3e-4, regression_weight = 0.25, preserve_weight = 2;
  std::int64_t rated = 1500, reward_steps = 1000;  ///< captions with a picture of each grade; updates of each reward
  std::int64_t feedback_steps = 60;
  double feedback_lr = 1e-5, stay_close_weight = 4, instance_weight = 0.05;
  std::vector<std::string> skip = {};  ///< parts of the recipe to leave out
  std::int64_t checkpoint_every = 200;
};

/// A real but small run: at most two minutes on two cores.
inline void make_quick(Options& o) {
  o.preset = "quick";
  o.autoencoder_steps = 220;
  o.classifier_steps = 250;
  o.latent_images = 12000;
  o.teacher_steps = 550;
  o.channels = 32;
  o.stage_steps = {40, 40, 50, 70};
  o.pairs = 64;
  o.rated = 100;
  o.reward_steps = 40;
  o.feedback_steps = 6;
  o.distill_batch = 20;
  o.one_step_steps = 12;
  o.eval_samples = 400;
  o.trajectory_samples = 100;
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
  o.eval_samples = 4000;
}

/// Throws OptionError naming the first setting that cannot work.
inline void validate(const Options& o) {
  using hypersd::OptionError;
  using hypersd::require;
  require<OptionError>(o.stage_segments.size() == o.stage_steps.size(), "--stages has ", o.stage_segments.size(),
                       " entries, --stage-steps ", o.stage_steps.size());
  for (const int k : o.stage_segments)
    require<OptionError>(k >= 1 && k <= 40, "--stages: k = ", k, " is not in [1, 40], the solver grid's steps");
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

/// Reads the command line. Throws CLI::ParseError, which `main` turns into exit code 2.
inline Options parse_options(int argc, char** argv) {
  Options o;
  CLI::App app{
      "Trains a text-conditioned latent diffusion teacher on Fashion-MNIST, distils it by trajectory segmented\n"
      "consistency distillation (TSCD, k = 8, 4, 2, 1) into a LoRA, raises rewards by feedback learning, enhances one\n"
      "step by distribution matching (the unified LoRA, 1 to 8 steps, and two one-step models), evaluates all and\n"
      "writes checkpoints, pictures, metrics.csv and report.html to a run folder.",
      "hypersd_fashion"};
  bool quick = false, full = false;
  auto* quick_flag = app.add_flag("--quick", quick, "small run, at most 2 minutes on 2 cores");
  app.add_flag("--full", full, "three times the default's training")->excludes(quick_flag);
  app.add_option("--seed", o.seed, "seed of every random number of the run")->capture_default_str();
  app.add_option("--out", o.out, "run folder; made if missing")->capture_default_str();
  app.add_option("--data", o.data, "folder with IDX images and labels, .gz or not")->capture_default_str();
  app.add_flag("--resume", o.resume, "continue the run in --out from its last checkpoint");
  program::add_device(app, o.device);
  app.add_flag("--baseline", o.baseline,
               "for comparison also TCD (k = 1 throughout, same iterations) and DMD of the teacher");
  app.add_option("--threads", o.threads, "CPU threads, 0: all (results do not depend on it)")
      ->check(program::whole(0, 1024))
      ->capture_default_str();
  auto* tuning = app.add_option_group("tuning", "override single settings of the budget");
  // Parsed twice: the preset first, then single settings on top of it.
  auto add = [&](const char* name, auto& value, const char* text) {
    return tuning->add_option(name, value, text)->capture_default_str();
  };
  add("--autoencoder-steps", o.autoencoder_steps, "training steps")->check(program::iterations());
  add("--classifier-steps", o.classifier_steps, "training steps")->check(program::iterations());
  add("--latent-images", o.latent_images, "training images that teacher and student see")
      ->check(program::whole(1, 1000000));
  add("--teacher-steps", o.teacher_steps, "training steps")->check(program::iterations());
  add("--channels", o.channels, "width of the UNet, a multiple of 8")->check(program::whole(8, 4096));
  add("--rank", o.rank, "LoRA rank")->check(program::whole(1, 4096));
  add("--distill-lr", o.distill_lr, "learning rate of the distillation")->check(program::positive());
  add("--stages", o.stage_segments, "segments k of each stage")->delimiter(',')->check(program::whole(1, 40));
  add("--stage-steps", o.stage_steps, "iterations of each stage")->delimiter(',')->check(program::iterations());
  add("--distance", o.distance, "of student and target; hybrid moves from MSE to adversarial as k falls")
      ->check(CLI::IsMember({"mse", "huber", "hybrid"}));
  add("--adversarial-weight", o.adversarial_weight, "of the hybrid distance at k = 1; a third of it at k = 2")
      ->check(program::weight());
  add("--critic-lr", o.critic_lr, "learning rate of the hybrid distance's critic")->check(program::positive());
  add("--teacher-policy", o.teacher_policy, "whose trajectories the later stages follow")
      ->check(CLI::IsMember({"original", "previous"}));
  add("--ema-target", o.ema_target, "decay of the target network")->check(program::real(0, 1));
  add("--guidance", o.guidance, "guidance scale of the teacher's samples")->check(program::real(0, 100));
  add("--guidance-min", o.guidance_min, "omega ~ U[min, max] in distillation")->check(program::real(0, 100));
  add("--guidance-max", o.guidance_max, "omega ~ U[min, max] in distillation")->check(program::real(0, 100));
  add("--noise-offset", o.noise_offset, "offset noise of the distillation inputs")->check(program::real(0, 10));
  add("--jump-exponent", o.jump_exponent, "0: the distance at t_end as in Eq 12; 1: in units of the prediction")
      ->check(program::real(0, 2));
  add("--rated", o.rated, "captions with one picture of each grade, from which the rewards learn")
      ->check(program::whole(10, 20000));
  add("--reward-steps", o.reward_steps, "training steps of each reward")->check(program::iterations());
  add("--feedback-steps", o.feedback_steps, "iterations of feedback learning")->check(program::iterations());
  add("--feedback-lr", o.feedback_lr, "learning rate of feedback learning")->check(program::positive());
  add("--instance-weight", o.instance_weight, "of the instance loss in feedback learning")->check(program::weight());
  add("--stay-close", o.stay_close_weight, "weight of staying near the student before feedback")
      ->check(program::weight());
  add("--pairs", o.pairs, "end points of the teacher that one-step enhancement regresses on")
      ->check(program::whole(1, 1000000));
  add("--one-step-steps", o.one_step_steps, "iterations of each one-step part")->check(program::iterations());
  add("--one-step-lr", o.one_step_lr, "learning rate of the one-step parts")->check(program::positive());
  add("--one-step-time", o.one_step_time, "time input of the dedicated one-step model")->check(program::whole(1, 999));
  add("--regression-weight", o.regression_weight, "of the MSE to those end points")->check(program::weight());
  add("--preserve-weight", o.preserve_weight, "of keeping the later steps while the first is trained")
      ->check(program::weight());
  add("--skip", o.skip, "parts of the recipe to leave out: feedback, one-step, one-step-800, one-step-unet")
      ->delimiter(',');
  add("--teacher-inference-steps", o.teacher_inference_steps, "DDIM steps of the teacher")
      ->check(program::whole(1, 1000));
  add("--steps", o.student_steps, "numbers of steps the student is sampled with")
      ->delimiter(',')
      ->check(program::whole(1, 1000));
  add("--eta", o.eta, "stochasticity of the TCD sampler with more than one step")->check(program::real(0, 1));
  add("--eval-samples", o.eval_samples, "samples for the metrics")->check(program::whole(20, 1000000));
  add("--checkpoint-every", o.checkpoint_every, "training steps between checkpoints")->check(program::iterations());
  program::parse(app, argc, argv);
  if (quick || full) {
    // A second pass puts what was typed on top of the preset's values.
    o = {};
    quick ? make_quick(o) : make_full(o);
    app.clear();
    program::parse(app, argc, argv);
  }
  validate(o);
  return o;
}

}  // namespace fashion
