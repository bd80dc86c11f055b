// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>

namespace hypersd::ops::backend {

inline void select(const Cpu&, std::int64_t n, const std::uint8_t* mask, std::int32_t* indices, std::int32_t* count) {
  std::int32_t found = 0;
  for (std::int64_t i = 0; i < n; ++i)
    if (mask[i] != 0) indices[found++] = static_cast<std::int32_t>(i);
  *count = found;
}

}  // namespace hypersd::ops::backend
