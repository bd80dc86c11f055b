// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/npy.hpp>

using namespace hypersd;

/// An array that is accepted is written and read back with the same shape and bytes.
void fuzz::run(std::string_view input) {
  accepted([&] { (void)io::decode_npy<float>(input, "fuzz"); });
  accepted([&] { (void)io::decode_npy<std::int32_t>(input, "fuzz"); });
  accepted([&] {
    if (io::npy_info(input, "fuzz").dtype != io::DType::U8) return;
    const auto array = io::decode_npy<std::uint8_t>(input, "fuzz");
    const auto back = io::decode_npy<std::uint8_t>(io::encode_npy(array), "back");
    expect(back.shape() == array.shape() && back.to_vector() == array.to_vector(), "the array is back");
  });
}
