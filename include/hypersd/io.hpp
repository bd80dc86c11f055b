// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Files. Formats that need a library are there where its header is.

#include <hypersd/io/base64.hpp>
#include <hypersd/io/csv.hpp>
#include <hypersd/io/dtype.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/html_style.hpp>
#include <hypersd/io/image.hpp>
#include <hypersd/io/image_grid.hpp>
#include <hypersd/io/json_events.hpp>
#include <hypersd/io/mapped_file.hpp>
#include <hypersd/io/metric_log.hpp>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/pixel_text.hpp>
#include <hypersd/io/plot.hpp>
#include <hypersd/io/plot_axis.hpp>
#include <hypersd/io/progress.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_index.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/io/text.hpp>

#if __has_include(<png.h>)
#include <hypersd/io/html_report.hpp>
#include <hypersd/io/png.hpp>
#endif

#if __has_include(<zlib.h>)
#include <hypersd/io/gzip.hpp>
#include <hypersd/io/idx.hpp>
#endif
