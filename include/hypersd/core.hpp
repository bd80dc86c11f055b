// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Tensors, devices, errors, random bits, threads.

#include <hypersd/core/config.hpp>
#include <hypersd/core/constant_tensor.hpp>
#include <hypersd/core/device.hpp>
#include <hypersd/core/error.hpp>
#include <hypersd/core/graph.hpp>
#include <hypersd/core/half.hpp>
#include <hypersd/core/instruction_set.hpp>
#include <hypersd/core/large_blocks.hpp>
#include <hypersd/core/located_error.hpp>
#include <hypersd/core/math.hpp>
#include <hypersd/core/normal_blocks.hpp>
#include <hypersd/core/normal_blocks_generic.hpp>
#include <hypersd/core/normal_blocks_x86.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/philox.hpp>
#include <hypersd/core/progress.hpp>
#include <hypersd/core/scalar.hpp>
#include <hypersd/core/shape.hpp>
#include <hypersd/core/storage.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/core/torch_random.hpp>
#include <hypersd/core/type_name.hpp>
#include <hypersd/core/version.hpp>
