// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Reverse-mode and forward-mode differentiation over the operations.

#include <hypersd/autograd/checkpoint.hpp>
#include <hypersd/autograd/crossing.hpp>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_conv2d.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_gated.hpp>
#include <hypersd/autograd/grad_gather.hpp>
#include <hypersd/autograd/grad_map.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/autograd/grad_normalize.hpp>
#include <hypersd/autograd/grad_reduce.hpp>
#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/autograd/grad_softmax.hpp>
#include <hypersd/autograd/jvp.hpp>
#include <hypersd/autograd/layer_weight.hpp>
#include <hypersd/autograd/variable.hpp>
