// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/config.hpp>
#include <hypersd/core/half.hpp>
#include <hypersd/core/scalar.hpp>
#include <initializer_list>
#include <type_traits>

/// \file
/// Several neighbouring elements in one access: what kernels need that are to run at the speed of memory.

namespace hypersd::ops::launch {

/// Two numbers rounded to T in one register, the first in its lower half.
template <Narrow T>
HYPERSD_HD std::uint32_t packed(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t out = 0;
  if constexpr (std::same_as<T, bfloat16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
#else
  return static_cast<std::uint32_t>(T(low).bits) | static_cast<std::uint32_t>(T(high).bits) << 16U;
#endif
}

/// The number in half `upper` of a register.
template <Narrow T>
HYPERSD_HD float unpacked(std::uint32_t pair, bool upper) {
  if constexpr (std::same_as<T, bfloat16>) {
    // The upper half of a float is a bfloat16.
    return hypersd::detail::bits_float(upper ? pair & 0xffff0000U : pair << 16U);
  } else {
    T x;
    x.bits = static_cast<std::uint16_t>(upper ? pair >> 16U : pair);
    return static_cast<float>(x);
  }
}

/// Memory that one access reads or writes, at a multiple of its size.
template <int bytes>
struct alignas(bytes) Word {
  std::uint32_t v[bytes / 4];
};
template <int bytes, class T>
HYPERSD_HD Word<bytes> load_word(const T* p) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const Word<bytes>*>(p);
#else
  Word<bytes> out;
  __builtin_memcpy(&out, p, bytes);
  return out;
#endif
}
template <int bytes, class T>
HYPERSD_HD void store_word(T* p, const Word<bytes>& word) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<Word<bytes>*>(p) = word;
#else
  __builtin_memcpy(static_cast<void*>(p), &word, bytes);
#endif
}
/// The same to global memory. nvcc takes some of a kernel's `store_word` apart into elements, but not an instruction.
template <int bytes, class T>
HYPERSD_HD void store_global(T* p, const Word<bytes>& word) {
#if defined(__CUDA_ARCH__)
  const std::uint32_t* v = word.v;
  if constexpr (bytes == 16)
    asm volatile("{ .reg .u64 to; cvta.to.global.u64 to, %0; st.global.v4.b32 [to], {%1, %2, %3, %4}; }" ::"l"(p),
                 "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3])
                 : "memory");
  else if constexpr (bytes == 8)
    asm volatile("{ .reg .u64 to; cvta.to.global.u64 to, %0; st.global.v2.b32 [to], {%1, %2}; }" ::"l"(p), "r"(v[0]),
                 "r"(v[1])
                 : "memory");
  else
    store_word(p, word);
#else
  store_word(p, word);
#endif
}

/// Copies `n` neighbours, as one access where there are several.
template <int n, class T>
HYPERSD_HD void copy_together(const T* from, T* to) {
  if constexpr (n == 1)
    *to = *from;
  else
    store_global(to, load_word<n* static_cast<int>(sizeof(T))>(from));
}

/// Whether accesses of `n` neighbours may begin at all of these.
template <int n, class T>
[[nodiscard]] bool together_at(std::initializer_list<const T*> data) {
  for (const T* p : data)
    if (reinterpret_cast<std::uintptr_t>(p) % (n * sizeof(T)) != 0) return false;
  return true;
}
/// Calls f(n) with a compile-time number of neighbours that one access of a thread may take: as many as 16 bytes hold
/// if rows of `cols` elements can be cut up so, else 1.
template <class T, class F>
void with_together(std::int64_t cols, std::initializer_list<const T*> data, F&& f) {
  constexpr int many = sizeof(T) < 8 ? 16 / static_cast<int>(sizeof(T)) : 1;
  if (many > 1 && cols % many == 0 && together_at<many>(data))
    f(std::integral_constant<int, many>{});
  else
    f(std::integral_constant<int, 1>{});
}

/// The numbers of a word.
template <Floating T, int bytes>
HYPERSD_HD void spread(const Word<bytes>& word, Accumulator<T>* to) {
  if constexpr (Narrow<T>)
    for (int i = 0; i < bytes / 2; ++i) to[i] = unpacked<T>(word.v[i / 2], i % 2 == 1);
  else
    __builtin_memcpy(to, &word, sizeof(word));
}

/// Reads or writes `n` neighbours, 1 or an even number, the first at a multiple of their size.
template <int n, Floating T>
HYPERSD_HD void read_together(const T* from, Accumulator<T>* to) {
  if constexpr (n == 1)
    *to = static_cast<Accumulator<T>>(*from);
  else
    spread<T>(load_word<n* static_cast<int>(sizeof(T))>(from), to);
}
template <int n, Floating T>
HYPERSD_HD void write_together(const Accumulator<T>* from, T* to) {
  if constexpr (n == 1) {
    *to = static_cast<T>(*from);
  } else {
    Word<n* static_cast<int>(sizeof(T))> word;
    if constexpr (Narrow<T>)
      for (int i = 0; i < n / 2; ++i) word.v[i] = packed<T>(from[2 * i], from[2 * i + 1]);
    else
      __builtin_memcpy(&word, from, sizeof(word));
    store_global(to, word);
  }
}

/// A number of bytes as a type.
template <int n>
using Bytes = std::integral_constant<int, n>;

/// An address in shared memory as instructions take it; 0 on the host.
HYPERSD_HD inline std::uint32_t shared_address(const void* p) {
#if defined(__CUDA_ARCH__)
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
#else
  (void)p;
  return 0;
#endif
}

/// Starts a copy of 4 or 16 bytes from global to shared memory, or of zeros if they are not `there`; both addresses are
/// multiples of the size (NVIDIA, "PTX ISA", cp.async). `Block::copy_async` closes a group of them.
struct CopyWords {
  template <int bytes>
  HYPERSD_HD void operator()(Bytes<bytes>, void* to, const void* from, bool there) const {
    static_assert(bytes == 4 || bytes == 16);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (bytes == 16)  // past the L1 cache
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                   :
                   : "r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0)
                   : "memory");
    else
      asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                   :
                   : "r"(shared_address(to)), "l"(from), "r"(there ? 4 : 0)
                   : "memory");
#else
    (void)to, (void)from, (void)there;
#endif
  }
};
/// Ends a thread's group of copies.
HYPERSD_HD inline void close_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}
/// Waits for all of a thread's groups but the last `pending`.
template <int pending>
HYPERSD_HD void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" : : "n"(pending) : "memory");
#endif
}

}  // namespace hypersd::ops::launch
