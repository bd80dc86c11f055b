// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/nn/models/unet.hpp>
#if defined(HYPERSD_FASHION_DIT)
#include <hypersd/nn/models/pixart.hpp>
#endif

/// \file
/// Process and backbone of the whole job: types, so that each choice is a program of its own. CMake builds the default
/// as hypersd_fashion and the others by these definitions (examples/run.sh --process flow --backbone dit).

namespace fashion {

using namespace hypersd;

#if defined(HYPERSD_FASHION_FLOW)
/// Straight lines as in SD3, whose networks are given 1000 t.
struct Lines : diffusion::RectifiedFlow {
  Lines() : RectifiedFlow{{.time_scale = 1000}} {}
};
using Process = diffusion::Process<Lines, diffusion::FlowVelocity>;
inline constexpr const char* process_name = "flow";
#elif defined(HYPERSD_FASHION_DDPM_V)
/// Velocities on the table of Stable Diffusion (docs/experiments/prediction.md).
using Process = diffusion::StableDiffusionV;
inline constexpr const char* process_name = "ddpm-v";
#else
/// That of Stable Diffusion 1.5 and SDXL.
using Process = diffusion::StableDiffusion;
inline constexpr const char* process_name = "ddpm";
#endif

#if defined(HYPERSD_FASHION_DIT)
/// A diffusion transformer with cross-attention to the caption.
template <Device D>
using Net = nn::PixArt<float, D>;
inline constexpr const char* backbone_name = "dit";
#else
template <Device D>
using Net = nn::Unet<float, D>;
inline constexpr const char* backbone_name = "unet";
#endif
template <Device D>
using Condition = typename Net<D>::Condition;

/// Width of a caption's tokens.
inline constexpr std::int64_t text_width = 64;

/// A denoiser without values yet.
template <Device D>
Net<D> make_denoiser(const Options& o) {
#if defined(HYPERSD_FASHION_DIT)
  // Tokens of 2 x 2 latents, four times as wide as the UNet's finest level.
  nn::PixArtConfig c;
  c.head_dim = o.channels;
  c.layers = 6;
  c.text_channels = text_width;
#else
  nn::UnetConfig c = nn::UnetConfig::fashion();
  c.block_out_channels = {o.channels, 2 * o.channels};
  c.down_attention = {false, true};
  c.heads = {4, 4};
  c.cross_attention_dim = text_width;
#endif
  return Net<D>(c);
}

/// Throws OptionError where the options ask for another process or backbone than this program's; `script` builds and
/// starts the right program.
inline void require_types(const Options& o, const char* script) {
  require<OptionError>(o.process == process_name && o.backbone == backbone_name, "--process ", o.process,
                       " --backbone ", o.backbone, ": this program was compiled for ", process_name, " and ",
                       backbone_name, "; ", script, " builds and starts the right one");
}

/// The time at which a network is given `n` of 1000, and the last time.
inline diffusion::Time time_of(std::int64_t n) { return Process{}.process_time(static_cast<double>(n)); }
inline diffusion::Time last_time() { return Process{}.last(); }

}  // namespace fashion
