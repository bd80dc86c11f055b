// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Operations on tensors: the whole surface of a device. Their implementations are in ops/cpu/ and ops/cuda/.

#include <hypersd/ops/affine_step.hpp>
#include <hypersd/ops/affine_step_arguments.hpp>
#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/compact.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/gather.hpp>
#include <hypersd/ops/geometry.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/operand.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/ops/reduce.hpp>
#include <hypersd/ops/resample.hpp>
#include <hypersd/ops/scan.hpp>
#include <hypersd/ops/softmax.hpp>
#include <hypersd/ops/sort.hpp>
#include <hypersd/ops/tf32.hpp>
#include <hypersd/ops/weight.hpp>
