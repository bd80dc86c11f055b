// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>

#include <cstring>

using namespace hypersd;

/// A file that is accepted holds its tensors, and writing those of one type gives a file that reads the same.
void fuzz::run(std::string_view input) {
  accepted([&] {
    const auto file = io::SafetensorsFile::from_bytes(std::string(input));
    io::SafetensorsWriter writer;
    writer.metadata = file.metadata();
    for (const std::string& name : file.names()) {
      accepted([&] { (void)file.get<double>(name, io::Convert::AnyNumber); });
      accepted([&] { (void)file.get<std::int32_t>(name); });
      accepted([&] { writer.add(name, file.tensor<float>(name)); });
    }
    const auto back = io::SafetensorsFile::from_bytes(writer.to_bytes());
    expect(back.size() == writer.size(), "all tensors are back");
    expect(back.metadata() == file.metadata(), "metadata are back");
    for (const std::string& name : back.names()) {
      const auto a = file.bytes(name), b = back.bytes(name);
      expect(a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0),
             "elements are back");
    }
  });
}
