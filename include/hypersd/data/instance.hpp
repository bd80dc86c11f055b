// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <vector>

namespace hypersd::data {

/// One object of an image: its class and the mask of its visible pixels.
struct Instance {
  int label = 0;              ///< 0 to classes - 1
  Tensor<std::uint8_t> mask;  ///< [H, W], 1 on the object
};
/// The objects of one picture.
using Instances = std::vector<Instance>;

}  // namespace hypersd::data
