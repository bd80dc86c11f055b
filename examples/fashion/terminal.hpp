// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "report.hpp"

#include <hypersd/report/progress.hpp>

#include <cstdio>

namespace fashion {

/// The options that decide the networks before distillation, how a student is trained on them, and what is measured:
/// those that the study of methods shares.
inline records::RunOptions shared_settings(const Options& o) {
  return {{"preset", o.preset},
          {"process", o.process},
          {"backbone", o.backbone},
          {"seed", std::to_string(o.seed)},
          {"data", o.data.string()},
          {"autoencoder-steps", std::to_string(o.autoencoder_steps)},
          {"autoencoder-batch", std::to_string(o.autoencoder_batch)},
          {"classifier-steps", std::to_string(o.classifier_steps)},
          {"latent-images", std::to_string(o.latent_images)},
          {"teacher-steps", std::to_string(o.teacher_steps)},
          {"teacher-batch", std::to_string(o.teacher_batch)},
          {"distill-batch", std::to_string(o.distill_batch)},
          {"channels", std::to_string(o.channels)},
          {"rank", std::to_string(o.rank)},
          {"distill-lr", io::number(o.distill_lr)},
          {"ema-target", io::number(o.ema_target)},
          {"guidance", io::number(o.guidance)},
          {"guidance-min", io::number(o.guidance_min)},
          {"guidance-max", io::number(o.guidance_max)},
          {"noise-offset", io::number(o.noise_offset)},
          {"jump-exponent", io::number(o.jump_exponent)},
          {"critic-lr", io::number(o.critic_lr)},
          {"adversarial-weight", io::number(o.adversarial_weight)},
          {"teacher-inference-steps", std::to_string(o.teacher_inference_steps)},
          {"eval-samples", std::to_string(o.eval_samples)}};
}

/// The options that decide a run's results, as they are kept in its folder.
inline records::RunOptions settings_of(const Options& o) {
  auto list = [](const auto& values) {
    std::string out;
    for (const auto v : values) out += (out.empty() ? "" : ",") + std::to_string(v);
    return out;
  };
  records::RunOptions out = shared_settings(o);
  const records::RunOptions recipe{{"baseline", o.baseline ? "true" : "false"},
                                   {"stages", list(o.stage_segments)},
                                   {"stage-steps", list(o.stage_steps)},
                                   {"grid-points", std::to_string(o.grid_points)},
                                   {"distance", o.distance},
                                   {"teacher-policy", o.teacher_policy},
                                   {"rated", std::to_string(o.rated)},
                                   {"reward-steps", std::to_string(o.reward_steps)},
                                   {"feedback-steps", std::to_string(o.feedback_steps)},
                                   {"feedback-lr", io::number(o.feedback_lr)},
                                   {"instance-weight", io::number(o.instance_weight)},
                                   {"stay-close", io::number(o.stay_close_weight)},
                                   {"pairs", std::to_string(o.pairs)},
                                   {"one-step-steps", std::to_string(o.one_step_steps)},
                                   {"one-step-lr", io::number(o.one_step_lr)},
                                   {"unified-steps", std::to_string(o.unified_steps)},
                                   {"unified-lr", io::number(o.unified_lr)},
                                   {"one-step-time", std::to_string(o.one_step_time)},
                                   {"regression-weight", io::number(o.regression_weight)},
                                   {"preserve-weight", io::number(o.preserve_weight)},
                                   {"steps", list(o.student_steps)},
                                   {"eta", io::number(o.eta)}};
  out.insert(out.end(), recipe.begin(), recipe.end());
  return out;
}

/// The table of results, for the terminal.
inline void print_results(const Findings& found, const std::string& folder) {
  std::printf("\n%-24s %20s %22s %12s %8s\n", "sampler", "FD", "agreement, %", "trajectory", "judge");
  for (const Result& r : found.results) {
    const std::string name = r.method == "real, autoencoded" ? r.method : label(r);
    std::printf("%-24s %7.2f [%5.2f, %5.2f] %8.1f [%5.1f, %5.1f]", name.c_str(), r.frechet.estimate, r.frechet.low,
                r.frechet.high, 100 * r.agreement.estimate, 100 * r.agreement.low, 100 * r.agreement.high);
    if (std::isfinite(r.trajectory.estimate))
      std::printf(" %12.4f", r.trajectory.estimate);
    else
      std::printf(" %12s", "");
    if (std::isfinite(r.judge.estimate)) std::printf(" %8.2f", r.judge.estimate);
    std::printf("\n");
  }
  std::printf("\nclassifier accuracy on real images %.1f %%; run took %.0f s\nreport: %s/report.html\n",
              100 * found.accuracy, found.seconds, folder.c_str());
}

}  // namespace fashion
