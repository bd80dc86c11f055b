// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What people look at: plots, image grids, HTML pages and progress bars.

#include <hypersd/report/html_report.hpp>
#include <hypersd/report/html_style.hpp>
#include <hypersd/report/plot.hpp>
#include <hypersd/report/plot_axis.hpp>
#include <hypersd/report/progress.hpp>
#include <hypersd/report/svg.hpp>

#if __has_include(<png.h>)
#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/image_strip.hpp>
#endif
