// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Operations on tensors: the whole surface of a device.

#include <hypersd/ops/affine_step.hpp>
#include <hypersd/ops/affine_step_elements.hpp>
#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/attention_block.hpp>
#include <hypersd/ops/attention_gradient_block.hpp>
#include <hypersd/ops/attention_gradient_mma_block.hpp>
#include <hypersd/ops/attention_mma_block.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/elements.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/gather.hpp>
#include <hypersd/ops/group_norm_block.hpp>
#include <hypersd/ops/group_norm_chunks.hpp>
#include <hypersd/ops/group_norm_gradient_chunks.hpp>
#include <hypersd/ops/group_norm_kernels.hpp>
#include <hypersd/ops/in_float.hpp>
#include <hypersd/ops/launch.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/lt_problem.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/mma.hpp>
#include <hypersd/ops/mma_rows.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/operand.hpp>
#include <hypersd/ops/patches.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/ops/reduce.hpp>
#include <hypersd/ops/resample.hpp>
#include <hypersd/ops/rows.hpp>
#include <hypersd/ops/softmax.hpp>
#include <hypersd/ops/tf32.hpp>
#include <hypersd/ops/words.hpp>
