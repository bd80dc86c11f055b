// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Learning from rewards: what people prefer, and how a student is moved towards it.

#include <hypersd/feedback/bradley_terry.hpp>
#include <hypersd/feedback/decoder.hpp>
#include <hypersd/feedback/frozen.hpp>
#include <hypersd/feedback/hinge.hpp>
#include <hypersd/feedback/instance.hpp>
#include <hypersd/feedback/matrix_nms.hpp>
#include <hypersd/feedback/refl.hpp>
#include <hypersd/feedback/reward.hpp>
#include <hypersd/feedback/rollout.hpp>
#include <hypersd/feedback/solo_loss.hpp>
#include <hypersd/feedback/solo_targets.hpp>
#include <hypersd/feedback/stay_close.hpp>
