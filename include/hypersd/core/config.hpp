// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The library's only macros, both read off the compiler of the translation unit, never set by a user.

/// \def HYPERSD_HAS_CUDA
/// 1 in a translation unit that a CUDA compiler (nvcc, or clang with -x cuda) compiles, else 0.
/// \def HYPERSD_HD
/// Marks a function for host and device code; empty without a CUDA compiler.
#if defined(__CUDACC__)
#define HYPERSD_HAS_CUDA 1
#define HYPERSD_HD __host__ __device__
#else
#define HYPERSD_HAS_CUDA 0
#define HYPERSD_HD
#endif
