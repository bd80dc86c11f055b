// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/affine_step_arguments.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>
#include <type_traits>

namespace hypersd::ops::launch {

/// A solver step. An item is a few neighbouring Philox counters; the four outputs of each give the noise of four
/// elements, sixteen apart, as on the CPU.
template <class T, class First>
struct AffineStepElements {
  using A = Accumulator<T>;
  static constexpr bool stored = std::is_same_v<First, StoredFirst>;
  /// Counters of an item. Four share one key schedule and make loads of 128 or 64 bits; with a function of x they would
  /// cost registers and save nothing.
  static constexpr int counters = stored ? 4 : 1;
  AffineStepArguments<T> p;
  First first;
  bool aligned = vector_aligned<counters, T>({p.x, p.first, p.second, p.out});

  /// If only the device knows the offset, enough for any: one Philox block more than the elements fill.
  [[nodiscard]] HYPERSD_HD std::int64_t size() const {
    return philox_counters(p.key ? philox_block - 1 : p.source.offset, p.n) / counters;
  }

  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const NoiseSource source = p.noise();
    // Negative in the first Philox block.
    const std::int64_t begin =
        philox_element(source.offset, counters * static_cast<std::int64_t>(i), 0) - source.offset;
    const std::int64_t sample = begin < p.inner ? 0 : quotient(begin, p.inner);
    const std::int64_t last = begin + 48 + counters - 1, end = (sample + 1) * p.inner;
    if (aligned && begin >= 0 && begin % counters == 0 && last < (end < p.n ? end : p.n)) {
      vectorized(begin, sample, source);
    } else {
      for (int e = 0; e < 4 * counters; ++e) {
        const std::int64_t j = begin + element(e);
        if (j >= 0 && j < p.n) one(j, j < end ? sample : quotient(j, p.inner), source);
      }
    }
  }

 private:
  /// Offset of element e of an item: outputs of a counter are sixteen apart, counters next to each other.
  [[nodiscard]] HYPERSD_HD static constexpr int element(int e) { return 16 * (e / counters) + e % counters; }

  /// The elements of an item from j on, all of sample b. All loads come before the first store: the compiler does not
  /// reorder them, since `out` may be an operand.
  HYPERSD_HD void vectorized(std::int64_t j, std::int64_t b, const NoiseSource& source) const {
    A x[4 * counters], sum[4 * counters];
    for (int w = 0; w < 4; ++w) load_vectorized<counters>(p.x + j + 16 * w, x + counters * w);
    if constexpr (stored) {
      for (int w = 0; w < 4; ++w) load_vectorized<counters>(p.first + j + 16 * w, sum + counters * w);
    } else {
      for (int e = 0; e < 4 * counters; ++e) sum[e] = first(p.first, j + element(e), x[e]);
    }
    const A x_scale = p.x_scale[b], first_scale = p.first_scale[b];
    for (int e = 0; e < 4 * counters; ++e) sum[e] = x_scale * x[e] + first_scale * sum[e];
    if (p.second) {
      const A scale = p.second_scale[b];
      for (int w = 0; w < 4; ++w) load_vectorized<counters>(p.second + j + 16 * w, x + counters * w);
      for (int e = 0; e < 4 * counters; ++e) sum[e] += scale * x[e];
    }
    if (p.noise_scale) {
      const A scale = p.noise_scale[b];
      for (int k = 0; k < counters; ++k) {
        const Words4 v = philox_words(source.stream, static_cast<std::uint64_t>(j + k + source.offset));
        float normals[4];
        math::box_muller(v.x, v.y, normals[0], normals[1]);
        math::box_muller(v.z, v.w, normals[2], normals[3]);
        for (int w = 0; w < 4; ++w) sum[counters * w + k] += scale * static_cast<A>(normals[w]);
      }
    }
    for (int w = 0; w < 4; ++w) store_vectorized<counters>(sum + counters * w, p.out + j + 16 * w);
  }
  /// Element j of sample b, for the ends of samples.
  HYPERSD_HD void one(std::int64_t j, std::int64_t b, const NoiseSource& source) const {
    const A x = static_cast<A>(p.x[j]);
    A sum = p.x_scale[b] * x + p.first_scale[b] * first(p.first, j, x);
    if (p.second) sum += p.second_scale[b] * static_cast<A>(p.second[j]);
    if (p.noise_scale)
      sum += p.noise_scale[b] * static_cast<A>(normal_at(source.stream, static_cast<std::uint64_t>(j + source.offset)));
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
