// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <hypersd/stable_diffusion/scheduler.hpp>

/// \file
/// What the model card of ByteDance's Hyper-SD says about its files, and runs that disagree with it.

namespace hypersd::stable_diffusion {

/// How a published file of Hyper-SD wants to be used.
struct HyperSdCard {
  int steps = 0;                ///< number of steps; 0: 1 to 8
  bool unified = false;         ///< TCD with eta 1 (less for more detail)
  bool keeps_guidance = false;  ///< guidance scales of 5 to 8 and negative prompts
  bool whole_unet = false;      ///< LCM, one step from time 800

  /// The settings in words.
  [[nodiscard]] std::string wants() const {
    if (whole_unet) return "lcm, timesteps 800, guidance scale 0";
    if (unified) return "tcd with eta 1 (less for more detail), 1 to 8 steps, guidance scale 0";
    return "ddim with timestep_spacing=trailing, " + std::to_string(steps) + " steps, " +
           (keeps_guidance ? "guidance scale 5 to 8" : "guidance scale 0");
  }
};

/// The card of a file by its name, such as `Hyper-SD15-4steps-lora.safetensors`; nothing for other names.
inline std::optional<HyperSdCard> hyper_sd_card(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  const std::size_t family = name.rfind("Hyper-SD15-", 0) == 0 ? 11 : name.rfind("Hyper-SDXL-", 0) == 0 ? 11 : 0;
  if (family == 0) return std::nullopt;
  const std::string rest = name.substr(family);
  if (rest.rfind("1step-Unet", 0) == 0) return HyperSdCard{1, false, false, true};
  if (rest.rfind("1step-lora", 0) == 0) return HyperSdCard{0, true, false, false};
  for (const int steps : {2, 4, 8, 12})
    for (const bool keeps : {false, true})
      if (rest.rfind(std::to_string(steps) + (keeps ? "steps-CFG-lora" : "steps-lora"), 0) == 0)
        return HyperSdCard{steps, false, keeps, false};
  return std::nullopt;
}

/// Warnings for a run of a few-step model: a grid that begins far from pure noise, and settings other than those that
/// the card of one of the `files` (a UNet, adapters) asks for. Empty if nothing is known against the run.
inline Notes few_step_notes(const SchedulerConfig& c, const RunOptions& o, const RunPlan& plan,
                            std::span<const std::string> files, double guidance) {
  Notes notes;
  bool one_step_unet = false, few = false;
  const auto steps = o.timesteps.empty() ? o.steps : static_cast<int>(o.timesteps.size());
  for (const std::string& file : files) {
    const auto card = hyper_sd_card(file);
    if (!card) continue;
    few = true;
    one_step_unet = one_step_unet || card->whole_unet;
    std::string against;
    const auto unless = [&](bool fits, const std::string& has) {
      if (!fits) against += (against.empty() ? "" : ", ") + has;
    };
    const SchedulerKind kind = card->whole_unet ? SchedulerKind::lcm
                               : card->unified  ? SchedulerKind::tcd
                                                : SchedulerKind::ddim;
    unless(c.kind == kind, std::string("the scheduler ") + scheduler_name(c.kind));
    if (c.kind == SchedulerKind::ddim)
      unless(c.spacing == Spacing::trailing || !o.timesteps.empty(), "a grid that is not trailing");
    unless(card->steps == 0 ? steps <= 8 : steps == card->steps, std::to_string(steps) + " steps");
    unless(card->keeps_guidance ? guidance > 1 : guidance <= 1, "a guidance scale of " + io::number(guidance));
    if (card->whole_unet)
      unless(o.timesteps == diffusion::Times{800}, "a start at time " + io::number(plan.steps[0].times.from));
    if (!against.empty())
      notes.push_back(std::filesystem::path(file).filename().string() + " wants " + card->wants() + "; this run has " +
                      against);
  }
  const double first = plan.process.network_time(plan.steps[0].times.from), last = c.table.size() - 1;
  if (o.strength == 1 && first < 0.9 * last && !one_step_unet && (few || steps <= 8))
    notes.push_back("the run begins at time " + io::number(first) + " of " + io::number(last) +
                    ", where latents are not pure noise" +
                    (o.timesteps.empty() ? ": few-step models want timestep_spacing=trailing"
                                         : ": only Hyper-SDXL-1step-Unet is made for a start at 800"));
  return notes;
}

}  // namespace hypersd::stable_diffusion
