// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>

namespace hypersd::detail {

/// Ten rounds of Philox on the sixteen counters of a block; word k of counter l goes to words[16 k + l].
inline void philox_block_words(Stream s, std::uint64_t block, std::uint32_t *words) {
  constexpr int lanes = 16;
  const std::uint64_t base = block * lanes;  // a multiple of 16: adding a lane never carries into the upper word
  std::uint32_t *x = words, *y = words + lanes, *z = words + 2 * lanes, *w = words + 3 * lanes;
  for (int l = 0; l < lanes; ++l) {
    x[l] = static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(l);
    y[l] = static_cast<std::uint32_t>(base >> 32U);
    z[l] = static_cast<std::uint32_t>(s.id);
    w[l] = static_cast<std::uint32_t>(s.id >> 32U);
  }
  auto key0 = static_cast<std::uint32_t>(s.seed);
  auto key1 = static_cast<std::uint32_t>(s.seed >> 32U);
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < lanes; ++l) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x[l];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * z[l];
      x[l] = static_cast<std::uint32_t>(p1 >> 32U) ^ y[l] ^ key0;
      z[l] = static_cast<std::uint32_t>(p0 >> 32U) ^ w[l] ^ key1;
      y[l] = static_cast<std::uint32_t>(p1);
      w[l] = static_cast<std::uint32_t>(p0);
    }
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
}

/// Portable loops. The square root has a separate loop, because compilers do not vectorise it.
inline void normal_blocks_generic(Stream s, std::uint64_t block, std::int64_t count, float *out) {
  alignas(64) std::uint32_t words[64];
  alignas(64) float radius[32];
  for (std::int64_t i = 0; i < count; ++i, out += 64) {
    philox_block_words(s, block + static_cast<std::uint64_t>(i), words);
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t *a = words + 32 * half, *b = a + 16;
      float *r = radius + 16 * half, *n0 = out + 32 * half, *n1 = n0 + 16;
      for (int l = 0; l < 16; ++l) r[l] = math::detail::box_muller_square(a[l]);
      for (int l = 0; l < 16; ++l) r[l] = math::sqrt(r[l]);
      for (int l = 0; l < 16; ++l) math::detail::box_muller_turn(r[l], b[l], n0[l], n1[l]);
    }
  }
}

}  // namespace hypersd::detail
