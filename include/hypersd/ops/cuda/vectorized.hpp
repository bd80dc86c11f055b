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
/// Vectorized loads and stores: several neighbouring elements, up to 16 bytes, in one memory transaction of a thread.

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

/// The registers of one vectorized access, which is aligned to its size.
template <int bytes>
struct alignas(bytes) Vector {
  std::uint32_t v[bytes / 4];
};
template <int bytes, class T>
HYPERSD_HD Vector<bytes> load_vector(const T* p) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const Vector<bytes>*>(p);
#else
  Vector<bytes> out;
  __builtin_memcpy(&out, p, bytes);
  return out;
#endif
}
template <int bytes, class T>
HYPERSD_HD void store_vector(T* p, const Vector<bytes>& x) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<Vector<bytes>*>(p) = x;
#else
  __builtin_memcpy(static_cast<void*>(p), &x, bytes);
#endif
}
/// The same to global memory as one instruction: nvcc splits some stores of `store_vector` into elements.
template <int bytes, class T>
HYPERSD_HD void store_vector_global(T* p, const Vector<bytes>& x) {
#if defined(__CUDA_ARCH__)
  const std::uint32_t* v = x.v;
  if constexpr (bytes == 16)
    asm volatile("{ .reg .u64 to; cvta.to.global.u64 to, %0; st.global.v4.b32 [to], {%1, %2, %3, %4}; }" ::"l"(p),
                 "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3])
                 : "memory");
  else if constexpr (bytes == 8)
    asm volatile("{ .reg .u64 to; cvta.to.global.u64 to, %0; st.global.v2.b32 [to], {%1, %2}; }" ::"l"(p), "r"(v[0]),
                 "r"(v[1])
                 : "memory");
  else
    store_vector(p, x);
#else
  store_vector(p, x);
#endif
}

/// Copies `n` neighbouring elements as one access.
template <int n, class T>
HYPERSD_HD void copy_vector(const T* from, T* to) {
  if constexpr (n == 1)
    *to = *from;
  else
    store_vector_global(to, load_vector<n* static_cast<int>(sizeof(T))>(from));
}

/// True if accesses of `n` elements are aligned at all of these addresses.
template <int n, class T>
[[nodiscard]] bool vector_aligned(std::initializer_list<const T*> data) {
  for (const T* p : data)
    if (reinterpret_cast<std::uintptr_t>(p) % (n * sizeof(T)) != 0) return false;
  return true;
}
/// Calls f(std::integral_constant<int, n>) with the elements of one access: as many as 16 bytes hold if that divides
/// rows of `cols` elements and the addresses are aligned, else 1.
template <class T, class F>
void with_vector_width(std::int64_t cols, std::initializer_list<const T*> data, F&& f) {
  constexpr int many = sizeof(T) < 8 ? 16 / static_cast<int>(sizeof(T)) : 1;
  if (many > 1 && cols % many == 0 && vector_aligned<many>(data))
    f(std::integral_constant<int, many>{});
  else
    f(std::integral_constant<int, 1>{});
}

/// Converts the elements of a vector for arithmetic.
template <Floating T, int bytes>
HYPERSD_HD void unpack_vector(const Vector<bytes>& x, Accumulator<T>* to) {
  if constexpr (Narrow<T>)
    for (int i = 0; i < bytes / 2; ++i) to[i] = unpacked<T>(x.v[i / 2], i % 2 == 1);
  else
    __builtin_memcpy(to, &x, sizeof(x));
}

/// Loads or stores `n` neighbouring elements, 1 or an even number, aligned to their size, with conversion to and from
/// the type of arithmetic.
template <int n, Floating T>
HYPERSD_HD void load_vectorized(const T* from, Accumulator<T>* to) {
  if constexpr (n == 1)
    *to = static_cast<Accumulator<T>>(*from);
  else
    unpack_vector<T>(load_vector<n* static_cast<int>(sizeof(T))>(from), to);
}
template <int n, Floating T>
HYPERSD_HD void store_vectorized(const Accumulator<T>* from, T* to) {
  if constexpr (n == 1) {
    *to = static_cast<T>(*from);
  } else {
    Vector<n* static_cast<int>(sizeof(T))> x;
    if constexpr (Narrow<T>)
      for (int i = 0; i < n / 2; ++i) x.v[i] = packed<T>(from[2 * i], from[2 * i + 1]);
    else
      __builtin_memcpy(&x, from, sizeof(x));
    store_vector_global(to, x);
  }
}

/// A number of bytes as a type.
template <int n>
using Bytes = std::integral_constant<int, n>;

/// The address in shared memory space that PTX instructions take; 0 on the host.
HYPERSD_HD inline std::uint32_t shared_address(const void* p) {
#if defined(__CUDA_ARCH__)
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
#else
  (void)p;
  return 0;
#endif
}

/// Issues an asynchronous copy of 4 or 16 bytes from global to shared memory, or of zeros unless `valid`; both
/// addresses are aligned to the size (NVIDIA, "PTX ISA", cp.async).
struct AsyncCopy {
  template <int bytes>
  HYPERSD_HD void operator()(Bytes<bytes>, void* to, const void* from, bool valid) const {
    static_assert(bytes == 4 || bytes == 16);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (bytes == 16)  // bypasses the L1 cache
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                   :
                   : "r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0)
                   : "memory");
    else
      asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                   :
                   : "r"(shared_address(to)), "l"(from), "r"(valid ? 4 : 0)
                   : "memory");
#else
    (void)to, (void)from, (void)valid;
#endif
  }
};
/// Commits the copies that a thread has issued as a group.
HYPERSD_HD inline void commit_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}
/// Waits for all groups of a thread but the last `pending`.
template <int pending>
HYPERSD_HD void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" : : "n"(pending) : "memory");
#endif
}

}  // namespace hypersd::ops::launch
