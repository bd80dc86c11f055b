// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Checkpoints of Stable Diffusion: folders and single files, their configurations, weights and adapters; prompts,
/// schedulers, pictures.

#include <hypersd/stable_diffusion/config.hpp>
#include <hypersd/stable_diffusion/controlled_unet.hpp>
#include <hypersd/stable_diffusion/denoise.hpp>
#include <hypersd/stable_diffusion/folder.hpp>
#include <hypersd/stable_diffusion/hyper_sd.hpp>
#include <hypersd/stable_diffusion/images.hpp>
#include <hypersd/stable_diffusion/load.hpp>
#include <hypersd/stable_diffusion/load_transformer.hpp>
#include <hypersd/stable_diffusion/lora.hpp>
#include <hypersd/stable_diffusion/model.hpp>
#include <hypersd/stable_diffusion/reward_models.hpp>
#include <hypersd/stable_diffusion/save_lora.hpp>
#include <hypersd/stable_diffusion/scheduler.hpp>
#include <hypersd/stable_diffusion/scheduler_config.hpp>
#include <hypersd/stable_diffusion/single_file.hpp>
#include <hypersd/stable_diffusion/tiny_decoder.hpp>
#include <hypersd/stable_diffusion/transformer_config.hpp>

#if __has_include(<utf8proc.h>) && __has_include(<zlib.h>)
#include <hypersd/stable_diffusion/conditions.hpp>
#include <hypersd/stable_diffusion/prompt.hpp>
#include <hypersd/stable_diffusion/text_to_image.hpp>
#endif
