// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace hypersd::ops {

namespace detail {

inline bool& tf32_allowed() {
  thread_local bool allowed = false;
  return allowed;
}

}  // namespace detail

/// While alive, float products and convolutions of this thread on CUDA may round their factors to TF32 (10 bits of
/// mantissa; sums stay float), which tensor cores take. Without it they are float throughout. No other device cares.
class Tf32 {
 public:
  explicit Tf32(bool allowed = true) : before_(std::exchange(detail::tf32_allowed(), allowed)) {}
  ~Tf32() { detail::tf32_allowed() = before_; }
  Tf32(const Tf32&) = delete;
  Tf32& operator=(const Tf32&) = delete;

 private:
  bool before_;
};

}  // namespace hypersd::ops
