// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/png.hpp>

using namespace hypersd;

/// A picture that is accepted is encoded and decoded to the same pixels, within the limit.
void fuzz::run(std::string_view input) {
  constexpr std::uint64_t limit = 1U << 20U;
  accepted([&] {
    const io::Image image = io::decode_png(input, "fuzz", limit);
    expect(image.pixels.size() <= limit, "the limit is kept");
    if (image.pixels.size() > 1U << 16U) return;
    const io::Image back = io::decode_png(io::encode_png(image), "back");
    expect(back.width == image.width && back.channels == image.channels && back.pixels == image.pixels,
           "the picture is back");
  });
}
