// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/formats/weight_files.hpp>

#include <filesystem>

using namespace hypersd;

/// An index that is accepted names plain safetensors files of its own folder; JSON is written as it was read.
void fuzz::run(std::string_view input) {
  accepted([&] {
    const auto json = io::Json::parse(input, "index");
    const auto again = io::Json::parse(json.str(), "again");  // whole reals such as -0e1 have become integers
    expect(io::Json::parse(again.str(), "again") == again, "JSON text is stable");
    for (const auto& [tensor, file] : io::formats::parse_shard_index(json, "index")) {
      const std::filesystem::path path(file);
      expect(!file.empty() && path.filename() == path && file != ".." && file != ".", "a plain file name");
    }
  });
}
