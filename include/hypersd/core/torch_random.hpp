// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <numbers>
#include <optional>
#include <random>
#include <span>

namespace hypersd {

/// The random numbers of `torch.Generator("cpu").manual_seed(seed)` (PyTorch 2, float32), equal to a few float
/// roundings: for results to be compared with PyTorch's. Everything else in the library draws by `Philox`.
///
/// The engine is the Mersenne twister mt19937 seeded with the low 32 bits, the transform Box-Muller's. 16 numbers or
/// more are drawn in blocks of 16, whose first halves are radii and second halves angles; where 16 does not divide
/// their number, the last 16 are drawn again. Fewer are drawn in pairs in double, and an odd one leaves its partner to
/// the next such call.
class TorchGenerator {
 public:
  explicit TorchGenerator(std::uint64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

  /// `torch.randn(out.size(), generator=...)`: standard normal numbers.
  void normal(std::span<float> out) {
    if (out.size() < block) {
      for (float& x : out) x = static_cast<float>(one_normal());
      return;
    }
    for (float& x : out) x = uniform();
    for (std::size_t at = 0; at + block <= out.size(); at += block) transform(out.subspan(at, block));
    if (out.size() % block == 0) return;
    const auto tail = out.last(block);
    for (float& x : tail) x = uniform();
    transform(tail);
  }
  /// The same as a tensor. PyTorch's images are NCHW.
  Tensor<float> normal(const Shape& shape) {
    Tensor<float> out(shape);
    normal(std::span<float>(out.data(), static_cast<std::size_t>(out.size())));
    return out;
  }

 private:
  static constexpr std::size_t block = 16;

  /// In [0, 1), a multiple of 2^-24.
  float uniform() { return static_cast<float>(engine_() & 0xFFFFFFU) * 0x1p-24F; }
  /// In [0, 1), a multiple of 2^-53.
  double uniform_double() {
    const std::uint64_t high = engine_(), low = engine_();
    return static_cast<double>(((high << 32U) | low) & ((std::uint64_t{1} << 53U) - 1)) * 0x1p-53;
  }
  static void transform(std::span<float> x) {
    for (std::size_t i = 0; i < block / 2; ++i) {
      const float radius = std::sqrt(-2 * std::log(1 - x[i]));
      const float angle = 2 * std::numbers::pi_v<float> * x[i + block / 2];
      x[i] = radius * std::cos(angle);
      x[i + block / 2] = radius * std::sin(angle);
    }
  }
  double one_normal() {
    if (waiting_) {
      const double x = *waiting_;
      waiting_.reset();
      return x;
    }
    const double angle = 2 * std::numbers::pi * uniform_double();
    const double radius = std::sqrt(-2 * std::log1p(-uniform_double()));
    waiting_ = radius * std::sin(angle);
    return radius * std::cos(angle);
  }

  std::mt19937 engine_;
  std::optional<double> waiting_;
};

}  // namespace hypersd
