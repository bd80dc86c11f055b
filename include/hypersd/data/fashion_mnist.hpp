// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <hypersd/core/error.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/data/image_set.hpp>
#include <hypersd/io/idx.hpp>
#include <hypersd/io/text.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace hypersd::data {

/// Folder of Debian's package `dataset-fashion-mnist`.
inline constexpr const char* fashion_mnist_folder = "/usr/share/datasets/fashion-mnist";

/// The ten classes of Fashion-MNIST, by label.
inline std::vector<std::string> fashion_mnist_classes() {
  return {"t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"};
}

/// Names of classes without names: `class 0`, `class 1`, ...
inline std::vector<std::string> numbered_classes(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back("class " + std::to_string(i));
  return out;
}

/// A training and a test set with class names.
struct LabelledImages {
  ImageSet train;
  ImageSet test;
  std::vector<std::string> class_names;
};

/// Options of `load_images`.
struct LoadOptions {
  /// Height and width are padded with black to a multiple of this, 1 to 4096 (28 becomes 32).
  std::int64_t multiple = 8;
  std::int64_t limit = -1;  ///< first images of each part; negative: all
};

namespace detail {

/// The file in `folder` whose name begins with `stem`, plain preferred to .gz; empty if there is none.
inline std::string find_idx(const std::string& folder, const std::string& stem) {
  std::vector<std::string> found;
  std::error_code code;
  for (std::filesystem::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    const std::string name = it->path().filename().string();
    if (name.compare(0, stem.size(), stem) == 0 && !it->is_directory(code)) found.push_back(name);
  }
  if (found.empty()) return {};
  std::sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return (std::filesystem::path(folder) / found.front()).string();
}

inline Tensor<std::uint8_t> load_pixels(const std::string& path, std::int64_t multiple) {
  Tensor<std::uint8_t> pixels = io::read_idx<std::uint8_t>(path);
  if (pixels.rank() == 3) pixels = pixels.reshape({pixels.dim(0), pixels.dim(1), pixels.dim(2), 1});
  require<FormatError>(pixels.rank() == 4 && (pixels.dim(3) == 1 || pixels.dim(3) == 3), "IDX file ",
                       io::in_quotes(path), ": shape ", pixels.shape(),
                       " is neither [N, H, W] nor [N, H, W, 1 or 3]: these are no images");
  require<FormatError>(pixels.size() > 0, "IDX file ", io::in_quotes(path), ": shape ", pixels.shape(),
                       " holds no images");
  const auto up = [&](std::int64_t n) { return (n + multiple - 1) / multiple * multiple; };
  return pad(pixels, up(pixels.dim(1)), up(pixels.dim(2)));
}

inline Tensor<std::int32_t> load_labels(const std::string& path) {
  const Tensor<std::uint8_t> labels = io::read_idx<std::uint8_t>(path);
  require<FormatError>(labels.rank() == 1, "IDX file ", io::in_quotes(path), ": shape ", labels.shape(),
                       " is not [N]: these are no labels");
  return labels.cast<std::int32_t>();
}

}  // namespace detail

/// Loads a set of IDX files, each plain or .gz: `train-images*`, `train-labels*`, `t10k-images*` (or `test-images*`),
/// `t10k-labels*`. Sets with ten classes in a folder named like Fashion-MNIST get its class names, others `class 0`
/// and so on, unless `class_names` are given. Throws IoError that names the missing file and the package that provides
/// it, FormatError for files that are broken or do not match, and, without `class_names`, if a class below the highest
/// label has no image: the highest label may then be a mark, such as 255 for "unknown".
inline LabelledImages load_images(const std::string& folder = fashion_mnist_folder, const LoadOptions& options = {},
                                  std::vector<std::string> class_names = {}) {
  require<OptionError>(options.multiple >= 1 && options.multiple <= 4096, "load_images: multiple ", options.multiple,
                       " is not between 1 and 4096");
  const std::string hint = "; Fashion-MNIST is in the Debian package 'dataset-fashion-mnist' (" +
                           std::string(fashion_mnist_folder) + "), other IDX sets need the files train-images*, " +
                           "train-labels*, t10k-images*, t10k-labels*";
  std::error_code code;
  require<IoError>(std::filesystem::is_directory(folder, code), "no data folder ", io::in_quotes(folder), hint);
  const auto find = [&](const std::string& part, const std::string& kind) {
    std::string path = detail::find_idx(folder, part + "-" + kind);
    if (path.empty() && part == "t10k") path = detail::find_idx(folder, "test-" + kind);
    require<IoError>(!path.empty(), "data folder ", io::in_quotes(folder), " has no file ", part, "-", kind, "*", hint);
    return path;
  };
  std::vector<std::string> paths;  // all must exist before the first is read
  for (const char* part : {"train", "t10k"})
    for (const char* kind : {"images", "labels"}) paths.push_back(find(part, kind));

  std::vector<Tensor<std::uint8_t>> pixels;
  std::vector<Tensor<std::int32_t>> labels;
  std::int32_t highest = 0;
  for (std::size_t i = 0; i < 4; i += 2) {
    pixels.push_back(detail::load_pixels(paths[i], options.multiple));
    labels.push_back(detail::load_labels(paths[i + 1]));
    io::require_same_count(paths[i], pixels.back().dim(0), paths[i + 1], labels.back().dim(0));
    highest = std::max(highest, *std::max_element(labels.back().span().begin(), labels.back().span().end()));
  }
  require<FormatError>(pixels[0].shape().with(0, 1) == pixels[1].shape().with(0, 1), "images of ",
                       io::in_quotes(paths[0]), " ", pixels[0].shape(), " and ", io::in_quotes(paths[2]), " ",
                       pixels[1].shape(), " differ in size");
  const int classes = highest + 1;
  if (class_names.empty()) {
    std::vector<bool> seen(static_cast<std::size_t>(classes), false);
    for (const auto& part : labels)
      for (const std::int32_t label : part.span()) seen[static_cast<std::size_t>(label)] = true;
    const auto absent = std::find(seen.begin(), seen.end(), false) - seen.begin();
    require<FormatError>(absent == classes, "labels of ", io::in_quotes(folder), ": the highest is ", highest,
                         ", but no image is of class ", absent, "; if that is intended, give the class names");
    const bool fashion = classes == 10 && folder.find("fashion") != std::string::npos;
    class_names = fashion ? fashion_mnist_classes() : numbered_classes(classes);
  }
  require<OptionError>(class_names.size() == static_cast<std::size_t>(classes), class_names.size(),
                       " class names for the ", classes, " classes of ", io::in_quotes(folder));
  LabelledImages out{ImageSet(pixels[0], labels[0], classes), ImageSet(pixels[1], labels[1], classes),
                     std::move(class_names)};
  if (options.limit >= 0) {
    out.train = out.train.first(options.limit);
    out.test = out.test.first(options.limit);
  }
  return out;
}

}  // namespace hypersd::data
