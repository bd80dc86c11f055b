// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Helpers for tests of your own policies.

#include <hypersd/testing/gradcheck.hpp>
