// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

/// \file
/// Precision of float matmuls on tensor cores.

namespace hypersd::ops {

namespace detail {

inline bool& tf32_allowed() {
  thread_local bool allowed = false;
  return allowed;
}

}  // namespace detail

/// While an object of this class is alive, float matmuls and convolutions of this thread on CUDA may round their
/// operands to TF32 (10 bits of mantissa, accumulation in float), which is what tensor cores take. Without one they are
/// float throughout. It has no effect on other devices. `AllowTf32(false)` forbids it again within a scope.
class AllowTf32 {
 public:
  explicit AllowTf32(bool allowed = true) : before_(std::exchange(detail::tf32_allowed(), allowed)) {}
  ~AllowTf32() { detail::tf32_allowed() = before_; }
  AllowTf32(const AllowTf32&) = delete;
  AllowTf32& operator=(const AllowTf32&) = delete;

 private:
  bool before_;
};

}  // namespace hypersd::ops
