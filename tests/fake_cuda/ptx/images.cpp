// SPDX-License-Identifier: Apache-2.0
// The PTX that nvcc has embedded in a program.
#include <fake_cuda/ptx/images.hpp>

#include <cstring>
#include <stdexcept>

namespace ptx {

namespace {

// As every program that nvcc makes has them: __fatDeviceText points to `Wrapper`, which points to `Container`, which
// `Entry`s follow, each with a header and the code.
struct Wrapper {
  std::uint32_t magic, version;
  const char* data;
};
struct Container {
  std::uint32_t magic;
  std::uint16_t version, header;
  std::uint64_t size;
};
struct Entry {
  std::uint16_t kind, version;
  std::uint32_t header;
  std::uint64_t size;
  std::uint32_t compressed;  ///< bytes, if it is
  std::uint32_t options;
  std::uint16_t minor, major;
  std::uint32_t architecture;
};
constexpr std::uint32_t wrapper_magic = 0x466243b1, container_magic = 0xba55ed50;
constexpr std::uint16_t kind_ptx = 1;

template <class T>
T at(const char* p) {
  T out;
  std::memcpy(&out, p, sizeof(T));
  return out;
}

}  // namespace

std::string embedded(const void* binary, std::uint32_t architecture) {
  const auto wrapper = at<Wrapper>(static_cast<const char*>(binary));
  if (wrapper.magic != wrapper_magic) throw std::runtime_error("this is no binary of nvcc");
  const auto container = at<Container>(wrapper.data);
  if (container.magic != container_magic) throw std::runtime_error("this is no container of device code");
  std::string out;
  std::uint32_t best = 0;
  const char* p = wrapper.data + container.header;
  const char* const end = p + container.size;
  while (p < end) {
    const auto entry = at<Entry>(p);
    if (entry.kind == kind_ptx && entry.architecture <= architecture && entry.architecture > best) {
      if (entry.compressed != 0) throw std::runtime_error("the PTX is compressed: compile with --no-compress");
      best = entry.architecture;
      out.assign(p + entry.header, strnlen(p + entry.header, entry.size));
    }
    p += entry.header + entry.size;
  }
  if (best == 0) throw std::runtime_error("the program has no PTX for this device");
  return out;
}

}  // namespace ptx
