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
    float normals[4] = {0, 0, 0, 0};
    if (p.noise_scale) {
      const Words4 v = philox_words(source.stream, static_cast<std::uint64_t>(begin + source.offset));
      math::box_muller(v.x, v.y, normals[0], normals[1]);
      math::box_muller(v.z, v.w, normals[2], normals[3]);
    }
    const std::int64_t sample = begin < p.inner ? 0 : quotient(begin, p.inner);
    const std::int64_t last = begin + 48, end = (sample + 1) * p.inner;
    if (begin >= 0 && last < (end < p.n ? end : p.n)) {
      four(begin, sample, normals);
    } else {
      for (int word = 0; word < 4; ++word) {
        const std::int64_t j = begin + 16 * word;
        if (j >= 0 && j < p.n) one(j, j < end ? sample : quotient(j, p.inner), normals[word]);
      }
    }
  }

 private:
  /// Elements j, j + 16, j + 32 and j + 48, all of sample b. All reads come before the first write, which the compiler
  /// cannot tell from an operand.
  HYPERSD_HD void four(std::int64_t j, std::int64_t b, const float* normals) const {
    A x[4], sum[4];
    const T* from = p.x + j;
    for (int word = 0; word < 4; ++word) x[word] = static_cast<A>(from[16 * word]);
    const A x_scale = p.x_scale[b], first_scale = p.first_scale[b];
    for (int word = 0; word < 4; ++word)
      sum[word] = x_scale * x[word] + first_scale * first(p.first, j + 16 * word, x[word]);
    if (p.second) {
      const A scale = p.second_scale[b];
      for (int word = 0; word < 4; ++word) sum[word] += scale * static_cast<A>(p.second[j + 16 * word]);
    }
    if (p.noise_scale) {
      const A scale = p.noise_scale[b];
      for (int word = 0; word < 4; ++word) sum[word] += scale * static_cast<A>(normals[word]);
    }
    T* to = p.out + j;
    for (int word = 0; word < 4; ++word) to[16 * word] = static_cast<T>(sum[word]);
  }
  HYPERSD_HD void one(std::int64_t j, std::int64_t b, float normal) const {
    const A x = static_cast<A>(p.x[j]);
    A sum = p.x_scale[b] * x + p.first_scale[b] * first(p.first, j, x);
    if (p.second) sum += p.second_scale[b] * static_cast<A>(p.second[j]);
    if (p.noise_scale) sum += p.noise_scale[b] * static_cast<A>(normal);
    p.out[j] = static_cast<T>(sum);
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T, class First>
void affine_step(const D& device, const AffineStepArguments<T>& p, const First& first) {
  run_elements(device, "affine_step", launch::AffineStepElements<T, First>{p, first});
}

}  // namespace hypersd::ops::backend
