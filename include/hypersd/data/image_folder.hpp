// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/data/image_set.hpp>
#include <hypersd/data/resize.hpp>
#include <hypersd/io/json_fields.hpp>
#include <hypersd/io/png.hpp>
#include <string>
#include <vector>

/// \file
/// A folder of PNG images with captions, in the layout of Hugging Face's `imagefolder`: `metadata.jsonl` has one object
/// a line, `{"file_name": "0001.png", "text": "a red ball"}`.

namespace hypersd::data {

/// One image of a folder.
struct CaptionedImage {
  std::string path, caption;
};

/// The images that `folder`/metadata.jsonl lists. Throws IoError without that file, FormatError naming file and line
/// for a line that is not such an object, for a path that leaves the folder, and for an empty list.
inline std::vector<CaptionedImage> read_image_folder(const std::string& folder) {
  const std::string file = folder + "/metadata.jsonl", text = io::read_file(file);
  std::vector<CaptionedImage> out;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = io::in_quotes(file) + ", line " + std::to_string(number);
    const io::Json object = io::Json::parse(line, where);
    const auto field = [&](const char* name) -> const std::string& {
      const io::Json* value = object.find(name);
      const auto* found = value == nullptr ? nullptr : value->as<std::string>();
      require<FormatError>(found != nullptr, where, ": needs text fields \"file_name\" and \"text\"; '", name,
                           "' is missing");
      return *found;
    };
    const std::string& name = field("file_name");
    bool inside = !name.empty() && name.front() != '/' && name.find('\\') == std::string::npos;
    for (std::size_t at = 0; inside && at < name.size();) {
      const std::size_t slash = std::min(name.find('/', at), name.size());
      inside = name.substr(at, slash - at) != "..";
      at = slash + 1;
    }
    require<FormatError>(inside, where, ": file_name ", io::in_quotes(name), " is not a path inside the folder");
    out.push_back({folder + "/" + name, field("text")});
  }
  require<FormatError>(!out.empty(), io::in_quotes(file), ": no images");
  return out;
}

/// The largest square in the middle of an image, resized by Lanczos' filter: [size, size, 3], values in [-1, 1]. Grey
/// images get three equal channels. Throws ShapeError for an image without pixels.
inline Tensor<float> square(const io::Image& image, std::int64_t size) {
  require<ShapeError>(image.width > 0 && image.height > 0 && size >= 1 && size <= 1 << 16, "square: an image of ",
                      image.width, " x ", image.height, " to ", size);
  const int side = std::min(image.width, image.height), left = (image.width - side) / 2,
            top = (image.height - side) / 2;
  io::Image middle(side, side, image.channels);
  for (int y = 0; y < side; ++y)
    std::copy_n(image.at(left, top + y), static_cast<std::ptrdiff_t>(side) * image.channels, middle.at(0, y));
  const io::Image resized = resize_lanczos(middle, static_cast<int>(size), static_cast<int>(size));
  Tensor<float> x(Shape{size, size, 3});
  for (std::int64_t i = 0; i < size * size; ++i)
    for (std::int64_t c = 0; c < 3; ++c)
      x[3 * i + c] = from_byte(resized.pixels[static_cast<std::size_t>(image.channels == 1 ? i : 3 * i + c)]);
  return x;
}

/// `square` of a PNG file. Throws IoError and FormatError naming it.
inline Tensor<float> load_square(const std::string& path, std::int64_t size) {
  return square(io::read_png(path), size);
}

}  // namespace hypersd::data
