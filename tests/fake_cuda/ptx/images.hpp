// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace ptx {

/// The PTX in what __cudaRegisterFatBinary is given: that of the newest architecture up to `architecture` (80, 90).
std::string embedded(const void* binary, std::uint32_t architecture);

}  // namespace ptx
