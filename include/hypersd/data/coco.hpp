// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/instance.hpp>
#include <hypersd/io/file.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// \file
/// Instance annotations of the COCO data set: polygons, and run lengths plain or compressed. [Hyper-SD Eq. 14]

namespace hypersd::data {

/// A picture of an annotation file with its objects.
struct CocoImage {
  std::int64_t id = 0, height = 0, width = 0;
  std::string file_name;
  Instances objects;
};
/// What `load_coco` reads: the pictures with their objects, and the categories.
struct Coco {
  std::vector<CocoImage> images;        ///< in the file's order
  std::vector<std::string> categories;  ///< names by label, in the order of their ids
};

/// A mask [height, width] of run lengths down the columns, which begin with those of zeros. Throws FormatError unless
/// they add up to height * width.
inline Tensor<std::uint8_t> mask_of_runs(const std::vector<std::int64_t>& counts, std::int64_t height,
                                         std::int64_t width) {
  auto out = Tensor<std::uint8_t>::zeros(Shape{height, width});
  std::int64_t at = 0;
  std::uint8_t value = 0;
  for (const std::int64_t n : counts) {
    require<FormatError>(n >= 0 && n <= height * width - at, "run lengths: more than ", height, " x ", width,
                         " pixels");
    for (std::int64_t i = 0; i < n; ++i, ++at)
      if (value != 0) out[at % height * width + at / height] = 1;
    value = value == 0 ? 1 : 0;
  }
  require<FormatError>(at == height * width, "run lengths: ", at, " of ", height, " x ", width, " pixels");
  return out;
}

/// Run lengths of COCO's compressed text: six bits a character from '0', 5 of value and one that says "more",
/// differences to the count before the last from the third on. Throws FormatError for other characters and a text that
/// breaks off.
inline std::vector<std::int64_t> runs_of_text(const std::string& text) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < text.size();) {
    std::int64_t value = 0;
    int shift = 0;
    for (bool more = true; more;) {
      require<FormatError>(i < text.size() && shift < 60, "compressed run lengths: broken off");
      const int c = static_cast<unsigned char>(text[i++]) - 48;
      require<FormatError>(c >= 0 && c < 64, "compressed run lengths: a character out of range");
      value |= static_cast<std::int64_t>(c & 0x1f) << shift;
      more = (c & 0x20) != 0;
      shift += 5;
      if (!more && (c & 0x10) != 0) value |= -(std::int64_t{1} << shift);
    }
    if (out.size() > 2) value += out[out.size() - 2];
    out.push_back(value);
  }
  return out;
}

/// Pixels whose centre lies in a polygon x1, y1, x2, y2, ... (even-odd), added to `mask` [H, W].
inline void fill_polygon(Tensor<std::uint8_t>& mask, const std::vector<double>& points) {
  require<FormatError>(points.size() >= 6 && points.size() % 2 == 0, "a polygon of ", points.size(), " numbers");
  const std::int64_t h = mask.dim(0), w = mask.dim(1);
  const std::size_t n = points.size() / 2;
  for (std::int64_t row = 0; row < h; ++row) {
    const double y = static_cast<double>(row) + 0.5;
    std::vector<double> crossings;
    for (std::size_t i = 0; i < n; ++i) {
      const double x0 = points[2 * i], y0 = points[2 * i + 1];
      const double x1 = points[2 * ((i + 1) % n)], y1 = points[2 * ((i + 1) % n) + 1];
      if ((y0 <= y) != (y1 <= y)) crossings.push_back(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
    }
    std::sort(crossings.begin(), crossings.end());
    for (std::size_t i = 0; i + 1 < crossings.size(); i += 2)
      for (std::int64_t x = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(crossings[i] - 0.5)));
           x < w && static_cast<double>(x) + 0.5 < crossings[i + 1]; ++x)
        mask[row * w + x] = 1;
  }
}

/// Reads an annotation file. Throws IoError, and FormatError naming the file and the annotation that does not fit.
inline Coco load_coco(const std::string& path) {
  const auto json = nlohmann::json::parse(io::read_file(path), nullptr, false);
  const std::string where = "file " + io::in_quotes(path);
  require<FormatError>(!json.is_discarded() && json.is_object(), where, " is no JSON object");
  Coco out;
  std::string what = "its head";
  try {
    std::map<std::int64_t, std::string> names;
    for (const auto& c : json.at("categories")) names[c.at("id").get<std::int64_t>()] = c.at("name").get<std::string>();
    std::map<std::int64_t, int> labels;
    for (const auto& [id, name] : names) {
      labels[id] = static_cast<int>(out.categories.size());
      out.categories.push_back(name);
    }
    std::map<std::int64_t, std::size_t> places;
    for (const auto& i : json.at("images")) {
      CocoImage image{i.at("id").get<std::int64_t>(),
                      i.at("height").get<std::int64_t>(),
                      i.at("width").get<std::int64_t>(),
                      i.value("file_name", ""),
                      {}};
      what = "image " + std::to_string(image.id);
      require<FormatError>(0 < image.height && image.height < 65536 && 0 < image.width && image.width < 65536,
                           "its size is ", image.height, " x ", image.width);
      places[image.id] = out.images.size();
      out.images.push_back(std::move(image));
    }
    for (const auto& a : json.at("annotations")) {
      what = "annotation " + (a.contains("id") ? a.at("id").dump() : std::string("without an id"));
      const auto place = places.find(a.at("image_id").get<std::int64_t>());
      require<FormatError>(place != places.end(), "there is no image ", a.at("image_id").dump());
      const auto label = labels.find(a.at("category_id").get<std::int64_t>());
      require<FormatError>(label != labels.end(), "there is no category ", a.at("category_id").dump());
      CocoImage& image = out.images[place->second];
      const auto& s = a.at("segmentation");
      Instance object{label->second, Tensor<std::uint8_t>::zeros(Shape{image.height, image.width})};
      if (s.is_array()) {
        for (const auto& polygon : s) fill_polygon(object.mask, polygon.get<std::vector<double>>());
      } else {
        const auto size = s.at("size").get<std::vector<std::int64_t>>();
        require<FormatError>(size == std::vector{image.height, image.width}, "its mask is of another size");
        const auto& counts = s.at("counts");
        object.mask = mask_of_runs(
            counts.is_string() ? runs_of_text(counts.get<std::string>()) : counts.get<std::vector<std::int64_t>>(),
            image.height, image.width);
      }
      image.objects.push_back(std::move(object));
    }
  } catch (const nlohmann::json::exception& error) {
    fail<FormatError>(where, ", ", what, ": ", error.what());
  } catch (const FormatError& error) {
    fail<FormatError>(where, ", ", what, ": ", error.what());
  }
  return out;
}

}  // namespace hypersd::data
