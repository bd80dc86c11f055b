// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Layers and networks.

#include <hypersd/nn/adapter.hpp>
#include <hypersd/nn/attention.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/embedding.hpp>
#include <hypersd/nn/guidance_embedding.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/interval.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/lora_state.hpp>
#include <hypersd/nn/mixed_precision.hpp>
#include <hypersd/nn/models/aesthetic_head.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/autoencoder_strips.hpp>
#include <hypersd/nn/models/classifier.hpp>
#include <hypersd/nn/models/controlnet.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/nn/models/dit.hpp>
#include <hypersd/nn/models/dit_config.hpp>
#include <hypersd/nn/models/image_encoder.hpp>
#include <hypersd/nn/models/reward_model.hpp>
#include <hypersd/nn/models/segmenter.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/nn/models/tiny_autoencoder.hpp>
#include <hypersd/nn/models/transformer_config.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/nn/models/unet_blocks.hpp>
#include <hypersd/nn/models/unet_config.hpp>
#include <hypersd/nn/models/unet_encoder.hpp>
#include <hypersd/nn/modulation.hpp>
#include <hypersd/nn/module.hpp>
#include <hypersd/nn/norm.hpp>
#include <hypersd/nn/parameter.hpp>
#include <hypersd/nn/patch_embedding.hpp>
#include <hypersd/nn/resample.hpp>
#include <hypersd/nn/resnet.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/nn/timestep_embedding.hpp>
#include <hypersd/nn/transformer.hpp>
