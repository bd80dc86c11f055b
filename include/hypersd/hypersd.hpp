// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The whole library; `hypersd/interop.hpp` and `hypersd/testing.hpp` stay apart. One header per policy compiles
/// faster.

#include <hypersd/autograd.hpp>
#include <hypersd/core.hpp>
#include <hypersd/data.hpp>
#include <hypersd/diffusion.hpp>
#include <hypersd/dist.hpp>
#include <hypersd/distill.hpp>
#include <hypersd/feedback.hpp>
#include <hypersd/io.hpp>
#include <hypersd/metrics.hpp>
#include <hypersd/nn.hpp>
#include <hypersd/ops.hpp>
#include <hypersd/optim.hpp>
#include <hypersd/pipeline.hpp>
#include <hypersd/records.hpp>
#include <hypersd/report.hpp>
#include <hypersd/stable_diffusion.hpp>
#include <hypersd/text.hpp>
