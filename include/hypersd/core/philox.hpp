// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/config.hpp>
#include <string_view>

/// \file
/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): a counter-based generator,
/// so that element i of a stream has the same value on every device, for any number of threads and batch split.

namespace hypersd {

/// Four 32-bit words: a Philox counter or its output.
struct Words4 {
  std::uint32_t x, y, z, w;
  bool operator==(const Words4&) const = default;
};

/// The 64-bit product. Device compilers emit mul.wide only from inline assembly.
HYPERSD_HD inline std::uint64_t wide_product(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__)
  std::uint64_t out = 0;
  asm("mul.wide.u32 %0, %1, %2;" : "=l"(out) : "r"(a), "r"(b));
  return out;
#else
  return std::uint64_t{a} * b;
#endif
}

/// Ten rounds of Philox4x32 on `counter` with the 64-bit key (`key0`, `key1`).
HYPERSD_HD inline Words4 philox4x32(Words4 counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = wide_product(0xD2511F53U, counter.x);
    const std::uint64_t p1 = wide_product(0xCD9E8D57U, counter.z);
    counter = {static_cast<std::uint32_t>(p1 >> 32U) ^ counter.y ^ key0, static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32U) ^ counter.w ^ key1, static_cast<std::uint32_t>(p0)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

/// An independent sequence of random elements: `seed` is the key, `id` the upper half of the counter.
struct Stream {
  std::uint64_t seed = 0;
  std::uint64_t id = 0;
};

/// The stream called `name` of a run with seed `seed`; `sub` numbers its repetitions, e.g. training steps.
constexpr Stream stream(std::uint64_t seed, std::string_view name, std::uint64_t sub = 0) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  // Finaliser of SplitMix64: consecutive `sub` differ in all 64 bits.
  hash += 0x9e3779b97f4a7c15ULL * (sub + 1);
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebULL;
  return {seed, hash ^ (hash >> 31U)};
}

/// Elements come in blocks of 64: lane l of word w of block b is element 64 b + 16 w + l, from counter 16 b + l.
/// Sixteen consecutive counters fill the lanes of a SIMD register, and results are stored without a shuffle.
inline constexpr std::int64_t philox_block = 64;

/// Counter of element `index` of `s`.
HYPERSD_HD inline Words4 philox_counter(Stream s, std::uint64_t index) {
  const std::uint64_t counter = (index >> 6U) * 16U + (index & 15U);
  return {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U),
          static_cast<std::uint32_t>(s.id), static_cast<std::uint32_t>(s.id >> 32U)};
}

/// All four words of the counter to which element `index` belongs (elements with the same index mod 16 in a block).
HYPERSD_HD inline Words4 philox_words(Stream s, std::uint64_t index) {
  return philox4x32(philox_counter(s, index), static_cast<std::uint32_t>(s.seed),
                    static_cast<std::uint32_t>(s.seed >> 32U));
}

/// The 32 random bits of element `index`.
HYPERSD_HD inline std::uint32_t bits_at(Stream s, std::uint64_t index) {
  const Words4 v = philox_words(s, index);
  switch ((index >> 4U) & 3U) {
    case 0: return v.x;
    case 1: return v.y;
    case 2: return v.z;
    default: return v.w;
  }
}

/// Uniform number in [0, 1) of element `index`, a multiple of 2^-24.
HYPERSD_HD inline float uniform_at(Stream s, std::uint64_t index) {
  return static_cast<float>(bits_at(s, index) >> 8U) * 0x1p-24F;
}

/// Uniform integer in [0, n) of element `index`, n >= 1; the bias is below n / 2^32.
HYPERSD_HD inline std::int64_t integer_at(Stream s, std::uint64_t index, std::int64_t n) {
  return static_cast<std::int64_t>((std::uint64_t{bits_at(s, index)} * static_cast<std::uint64_t>(n)) >> 32U);
}

}  // namespace hypersd
