// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Bridges to other libraries, each where that library is installed. DLPack needs none.

#include <hypersd/interop/dlpack.hpp>
#if __has_include(<xtensor/containers/xadapt.hpp>) || __has_include(<xtensor/xadapt.hpp>)
#include <hypersd/interop/xtensor.hpp>
#endif
