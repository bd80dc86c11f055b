// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hypersd {

/// Version of the library; CMake reads the three numbers from these lines.
inline constexpr int version_major = 0;
/// Raised where code may break before 1.0, and for additions after it.
inline constexpr int version_minor = 1;
/// Raised for repairs.
inline constexpr int version_patch = 0;

}  // namespace hypersd
