// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Measures of quality with their uncertainty.

#include <hypersd/metrics/agreement.hpp>
#include <hypersd/metrics/bootstrap.hpp>
#include <hypersd/metrics/frechet.hpp>
#include <hypersd/metrics/frechet_infinity.hpp>
#include <hypersd/metrics/kernel_distance.hpp>
#include <hypersd/metrics/moments.hpp>
#include <hypersd/metrics/neighbors.hpp>
#include <hypersd/metrics/student_t.hpp>
#include <hypersd/metrics/subsets.hpp>
#include <hypersd/metrics/trajectory.hpp>
