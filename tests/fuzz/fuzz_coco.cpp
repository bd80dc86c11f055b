// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/data/coco.hpp>

using namespace hypersd;

/// Masks have their picture's size, and all together keep to the limits.
void fuzz::run(std::string_view input) {
  const File file(input);
  const data::CocoLimits limits{1 << 12, 1 << 16};
  accepted([&] {
    const auto coco = data::load_coco(file.path(), limits);
    std::int64_t bytes = 0;
    for (const auto& image : coco.images)
      for (const auto& object : image.objects) {
        expect(object.mask.shape() == Shape{image.height, image.width}, "a mask has its picture's size");
        expect(object.label >= 0 && object.label < static_cast<int>(coco.categories.size()), "a label has a category");
        for (const std::uint8_t value : object.mask.span()) expect(value <= 1, "a mask is 0 or 1");
        bytes += object.mask.size();
      }
    expect(bytes <= limits.mask_bytes, "the limit is kept");
  });
}
