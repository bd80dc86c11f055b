// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Objectives that turn a teacher into a few-step student.

#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distance.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/ends.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/grid.hpp>
#include <hypersd/distill/inject_gradient.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/distill/jump_grid.hpp>
#include <hypersd/distill/jump_walk.hpp>
#include <hypersd/distill/keep_guidance.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/flow_map.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/sds.hpp>
#include <hypersd/distill/objectives/shortcut.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/one_step.hpp>
#include <hypersd/distill/segments.hpp>
#include <hypersd/distill/stage.hpp>
#include <hypersd/distill/sum.hpp>
#include <hypersd/distill/time_proposal.hpp>
#include <hypersd/distill/trajectory_critic.hpp>
#include <hypersd/distill/two_jumps.hpp>
