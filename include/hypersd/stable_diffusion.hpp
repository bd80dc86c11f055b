// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Checkpoints of Stable Diffusion: folders of diffusers, their configurations and weights.

#include <hypersd/stable_diffusion/config.hpp>
#include <hypersd/stable_diffusion/load.hpp>
#include <hypersd/stable_diffusion/model.hpp>
