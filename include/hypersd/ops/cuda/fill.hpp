// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/launch.hpp>

namespace hypersd::ops::launch {

template <class T>
struct FillElements {
  T* out;
  T value;
  std::int64_t count;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return count; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    out[i] = value;
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

/// out[0, count) = value, as a part of the operation `name`.
template <launch::KernelDevice D, class T>
void fill(const D& device, const char* name, T* out, T value, std::int64_t count) {
  run_elements(device, name, launch::FillElements<T>{out, value, count});
}

}  // namespace hypersd::ops::backend
