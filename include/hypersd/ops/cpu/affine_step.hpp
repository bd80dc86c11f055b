// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/device.hpp>
#include <hypersd/core/normal_blocks.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/ops/affine_step_arguments.hpp>
#include <type_traits>

namespace hypersd::ops {

namespace detail {

/// out[i] = a x[i] + b first[i] (+ c second[i]) (+ d noise[i]) for i in [0, n). `sum` holds the noise and then the
/// results, so that the loops vectorise although `out` may be an operand; `f` gives first[i].
template <class T, class First>
void affine_piece(T* out, const T* x, const T* first, const First& f, const T* second, Accumulator<T> a,
                  Accumulator<T> b, Accumulator<T> c, Accumulator<T> d, Accumulator<T>* sum, std::int64_t n) {
  using A = Accumulator<T>;
  const auto two = [&](std::int64_t i) { return a * static_cast<A>(x[i]) + b * f(first, i, static_cast<A>(x[i])); };
  if (d != 0 && second) {
    for (std::int64_t i = 0; i < n; ++i) sum[i] = two(i) + c * static_cast<A>(second[i]) + d * sum[i];
  } else if (d != 0) {
    for (std::int64_t i = 0; i < n; ++i) sum[i] = two(i) + d * sum[i];
  } else if (second) {
    for (std::int64_t i = 0; i < n; ++i) sum[i] = two(i) + c * static_cast<A>(second[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) sum[i] = two(i);
  }
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(sum[i]);
}

}  // namespace detail

}  // namespace hypersd::ops

namespace hypersd::ops::backend {

/// Pieces of sixteen Philox blocks stay in the L1 cache between generator and sum.
template <class T, class First>
void affine_step(const Cpu&, const AffineStepArguments<T>& p, const First& first) {
  using A = Accumulator<T>;
  constexpr std::int64_t most = 16 * philox_block;
  const auto [stream, offset] = p.noise();
  parallel_for(p.n, 16 * most, [&p, &first, stream = stream, offset = offset](std::int64_t begin, std::int64_t end) {
    alignas(64) float normals[most];
    alignas(64) A wide[std::is_same_v<A, float> ? 1 : most];  // NOLINT(modernize-avoid-c-arrays)
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t element = offset + i;
      const std::int64_t block = element / philox_block, skip = element % philox_block;
      const std::int64_t stop = std::min(end, i + most - skip);
      bool noisy = false;
      for (std::int64_t b = i / p.inner; p.noise_scale && b <= (stop - 1) / p.inner; ++b)
        noisy = noisy || p.noise_scale[b] != 0;
      if (noisy)
        normal_blocks(stream, static_cast<std::uint64_t>(block), (skip + stop - i + philox_block - 1) / philox_block,
                      normals);
      A* sum = nullptr;
      if constexpr (std::is_same_v<A, float>) {
        sum = normals;
      } else {
        sum = wide;
        for (std::int64_t k = 0; noisy && k < most; ++k) wide[k] = static_cast<A>(normals[k]);
      }
      sum += skip;
      while (i < stop) {
        const std::int64_t b = i / p.inner, to = std::min(stop, (b + 1) * p.inner), n = to - i;
        detail::affine_piece(p.out + i, p.x + i, p.first ? p.first + i : nullptr, first,
                             p.second ? p.second + i : nullptr, p.x_scale[b], p.first_scale[b],
                             p.second ? p.second_scale[b] : A(0), p.noise_scale ? p.noise_scale[b] : A(0), sum, n);
        sum += n;
        i = to;
      }
    }
  });
}

}  // namespace hypersd::ops::backend
