// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/hypersd.hpp>
#include <hypersd/interop.hpp>
#include <hypersd/testing.hpp>
