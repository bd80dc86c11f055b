// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// File formats. Those that need a library are included where its header is found.

#include <hypersd/io/base64.hpp>
#include <hypersd/io/csv.hpp>
#include <hypersd/io/dtype.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/formats/diffusers_names.hpp>
#include <hypersd/io/formats/ldm_names.hpp>
#include <hypersd/io/formats/lora_names.hpp>
#include <hypersd/io/formats/tensor_table.hpp>
#include <hypersd/io/formats/weight_files.hpp>
#include <hypersd/io/image.hpp>
#include <hypersd/io/json.hpp>
#include <hypersd/io/json_events.hpp>
#include <hypersd/io/json_fields.hpp>
#include <hypersd/io/mapped_file.hpp>
#include <hypersd/io/metric_log.hpp>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_index.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/io/text.hpp>

#if __has_include(<png.h>)
#include <hypersd/io/png.hpp>
#endif

#if __has_include(<zlib.h>)
#include <hypersd/io/checksum.hpp>
#include <hypersd/io/gzip.hpp>
#include <hypersd/io/idx.hpp>
#include <hypersd/io/npz.hpp>
#include <hypersd/io/zip.hpp>
#endif
