// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/normal_blocks_generic.hpp>
#include <hypersd/core/normal_blocks_x86.hpp>

/// \file
/// `normal_at` for whole blocks on the host, with the same bits. On x86-64 the instruction set is chosen at run time,
/// so a generic build is as fast as a native one.

namespace hypersd {

/// The standard normals of `count` blocks of stream `s` from block `block` on: out[64 i + j] is element
/// 64 (block + i) + j, for any alignment of `out`.
inline void normal_blocks(Stream s, std::uint64_t block, std::int64_t count, float* out) {
#if defined(__x86_64__) && !HYPERSD_HAS_CUDA
  if (detail::has_avx512()) return detail::normal_blocks_avx512(s, block, count, out);
  if (detail::has_avx2()) return detail::normal_blocks_avx2(s, block, count, out);
#endif
  detail::normal_blocks_generic(s, block, count, out);
}

}  // namespace hypersd
