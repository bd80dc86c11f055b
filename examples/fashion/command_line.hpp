// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "add_types.hpp"

#include <common/program.hpp>

namespace fashion {

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
  auto* quick_flag = app.add_flag("--quick", quick, "small run, about 6 minutes of processor time");
  app.add_flag("--full", full, "three times the default's training")->excludes(quick_flag);
  app.add_option("--seed", o.seed, "seed of every random number of the run")->capture_default_str();
  app.add_option("--out", o.out, "run folder; made if missing")->capture_default_str();
  app.add_option("--data", o.data, "folder with IDX images and labels, .gz or not")->capture_default_str();
  app.add_flag("--resume", o.resume, "continue the run in --out from its last checkpoint");
  program::add_device(app, o.device);
  add_types(app, o);
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
  add("--autoencoder-batch", o.autoencoder_batch, "images of an update of the autoencoder")
      ->check(program::whole(1, 4096));
  add("--teacher-batch", o.teacher_batch, "images of an update of the teacher")->check(program::whole(1, 4096));
  add("--distill-batch", o.distill_batch, "images of an update of the student")->check(program::whole(1, 4096));
  add("--classifier-steps", o.classifier_steps, "training steps")->check(program::iterations());
  add("--latent-images", o.latent_images, "training images that teacher and student see")
      ->check(program::whole(1, 1000000));
  add("--teacher-steps", o.teacher_steps, "training steps")->check(program::iterations());
  add("--channels", o.channels, "width of the UNet, a multiple of 8; a transformer is four times as wide")
      ->check(program::whole(8, 4096));
  add("--rank", o.rank, "LoRA rank")->check(program::whole(1, 4096));
  add("--distill-lr", o.distill_lr, "learning rate of the distillation")->check(program::positive());
  add("--grid-points", o.grid_points, "steps of the teacher's solver in distillation, a divisor of 1000")
      ->check(program::whole(1, 1000));
  add("--stages", o.stage_segments, "segments k of each stage, at most --grid-points")
      ->delimiter(',')
      ->check(program::whole(1, 1000));
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
  add("--one-step-steps", o.one_step_steps, "iterations of each model for one step alone")
      ->check(program::iterations());
  add("--one-step-lr", o.one_step_lr, "learning rate of the models for one step alone")->check(program::positive());
  add("--unified-steps", o.unified_steps, "iterations of the one-step part of the unified adapter")
      ->check(program::iterations());
  add("--unified-lr", o.unified_lr, "learning rate of the one-step part of the unified adapter")
      ->check(program::positive());
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
