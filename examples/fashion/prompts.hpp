// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "data.hpp"

#include <hypersd/ops/random.hpp>

namespace fashion {

/// Noise [N, 8, 8, 4] of a seed's stream `name`, and captions: the classes in turn.
struct Prompts {
  Tensor<std::int32_t> labels, captions;
  Tensor<float> noise;

  Prompts(const Dataset& data, std::int64_t n, std::uint64_t seed, const char* name)
      : labels(Shape{n}), noise(ops::normal<float>(Shape{n, 8, 8, 4}, stream(seed, name))) {
    for (std::int64_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i % data.classes());
    captions = data.captions(labels);
  }
};

}  // namespace fashion
