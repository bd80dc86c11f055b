// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/affine_step_cpu.hpp>
#include <hypersd/ops/launch.hpp>

namespace hypersd::ops::launch {

/// A solver step for devices with kernels. Item i is a Philox counter: its four words give the noise of four elements,
/// sixteen apart, as on the CPU.
template <class T, class First>
struct AffineStepElements {
  using A = Accumulator<T>;
  AffineStepArguments<T> p;
  First first;

  /// Where the offset is known on the device alone, counters for the worst: one block more than the elements fill.
  [[nodiscard]] HYPERSD_HD std::int64_t size() const {
    return philox_counters(p.key ? philox_block - 1 : p.source.offset, p.n);
  }

  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const NoiseSource source = p.noise();
    const std::int64_t begin = philox_element(source.offset, i, 0) - source.offset;  // below 0 in the first block
    // All reads come before the first write, which the compiler cannot tell from an operand.
    A x[4], y[4], z[4];
    for (int word = 0; word < 4; ++word) {
      const std::int64_t j = begin + 16 * word;
      if (j < 0 || j >= p.n) continue;
      x[word] = static_cast<A>(p.x[j]);
      y[word] = first(p.first, j, x[word]);
      z[word] = p.second ? static_cast<A>(p.second[j]) : A(0);
    }
    float normals[4] = {0, 0, 0, 0};
    if (p.noise_scale) {
      const Words4 v = philox_words(source.stream, static_cast<std::uint64_t>(begin + source.offset));
      math::box_muller(v.x, v.y, normals[0], normals[1]);
      math::box_muller(v.z, v.w, normals[2], normals[3]);
    }
    const std::int64_t sample = quotient(begin < 0 ? 0 : begin, p.inner), end = (sample + 1) * p.inner;
    for (int word = 0; word < 4; ++word) {
      const std::int64_t j = begin + 16 * word;
      if (j < 0 || j >= p.n) continue;
      const std::int64_t b = j < end ? sample : quotient(j, p.inner);
      A sum = p.x_scale[b] * x[word] + p.first_scale[b] * y[word];
      if (p.second) sum += p.second_scale[b] * z[word];
      if (p.noise_scale) sum += p.noise_scale[b] * static_cast<A>(normals[word]);
      p.out[j] = static_cast<T>(sum);
    }
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T, class First>
void affine_step(const D& device, const AffineStepArguments<T>& p, const First& first) {
  run_elements(device, "affine_step", launch::AffineStepElements<T, First>{p, first});
}

}  // namespace hypersd::ops::backend
