// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/philox.hpp>
#include <hypersd/data/image_set.hpp>
#include <hypersd/data/instance.hpp>

namespace hypersd::data {

/// Options of `compose_scenes`.
struct SceneOptions {
  int most = 3;                          ///< largest number of objects in a scene
  double smallest = 0.5, largest = 0.9;  ///< an object's size, relative to its own image
  float threshold = -0.8F;               ///< a pixel above it belongs to the object
};

/// Images of several objects with exact masks.
struct Scenes {
  Tensor<float> images;            ///< [N, H, W, 1] in [-1, 1]
  std::vector<Instances> objects;  ///< back to front; a mask has the pixels that are visible at the end
};

/// `count` scenes from images of single objects on black: each object is reduced by averaging, placed at random and
/// drawn over the earlier ones. A pure function of (`random`, scene). Throws ShapeError for more than one channel,
/// OptionError for sizes out of range.
inline Scenes compose_scenes(const ImageSet& singles, std::int64_t count, Stream random, const SceneOptions& o = {}) {
  require<ShapeError>(singles.channels() == 1, "compose_scenes: images of ", singles.channels(), " channels");
  require<OptionError>(o.most >= 1 && 0 < o.smallest && o.smallest <= o.largest && o.largest <= 1 && singles.size() > 0,
                       "compose_scenes: ", o.most, " objects of sizes ", o.smallest, " to ", o.largest);
  const std::int64_t h = singles.height(), w = singles.width();
  Scenes out{Tensor<float>::full(Shape{count, h, w, 1}, -1.0F), {}};
  for (std::int64_t n = 0; n < count; ++n) {
    std::uint64_t at = static_cast<std::uint64_t>(n) * 64;
    const auto draw = [&](std::int64_t below) { return integer_at(random, at++, below); };
    float* canvas = out.images.data() + n * h * w;
    Instances objects;
    for (std::int64_t i = 0, many = 1 + draw(o.most); i < many; ++i) {
      const std::int64_t id = draw(singles.size());
      const double size = o.smallest + (o.largest - o.smallest) * static_cast<double>(uniform_at(random, at++));
      const auto sh = std::max<std::int64_t>(1, static_cast<std::int64_t>(size * static_cast<double>(h)));
      const auto sw = std::max<std::int64_t>(1, static_cast<std::int64_t>(size * static_cast<double>(w)));
      const std::int64_t top = draw(h - sh + 1), left = draw(w - sw + 1);
      const auto picture = singles.images(id, id + 1);
      Instance object{singles.labels()[id], Tensor<std::uint8_t>::zeros(Shape{h, w})};
      for (std::int64_t y = 0; y < sh; ++y)
        for (std::int64_t x = 0; x < sw; ++x) {
          // Mean of the source pixels that this pixel covers.
          float sum = 0, pixels = 0;
          for (std::int64_t v = y * h / sh; v < std::max((y + 1) * h / sh, y * h / sh + 1); ++v)
            for (std::int64_t u = x * w / sw; u < std::max((x + 1) * w / sw, x * w / sw + 1); ++u)
              sum += picture[v * w + u], ++pixels;
          const float value = sum / pixels;
          if (value <= o.threshold) continue;
          const std::int64_t to = (top + y) * w + left + x;
          canvas[to] = value;
          for (Instance& below : objects) below.mask[to] = 0;
          object.mask[to] = 1;
        }
      objects.push_back(std::move(object));
    }
    out.objects.push_back(std::move(objects));
  }
  return out;
}

}  // namespace hypersd::data
