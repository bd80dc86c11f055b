// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

#include <CLI/CLI.hpp>

namespace fashion {

/// The options that choose a program (denoiser.hpp).
inline void add_types(CLI::App& app, Options& o) {
  app.add_option(
         "--process", o.process,
         "ddpm: that of Stable Diffusion 1.5 and SDXL; ddpm-v: the same, predicting velocities; flow: straight lines")
      ->check(CLI::IsMember({"ddpm", "ddpm-v", "flow"}))
      ->capture_default_str();
  app.add_option("--backbone", o.backbone, "network of the denoiser: a UNet, or a diffusion transformer")
      ->check(CLI::IsMember({"unet", "dit"}))
      ->capture_default_str();
}

}  // namespace fashion
