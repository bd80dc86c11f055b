// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <hypersd/data/coco_masks.hpp>
#include <hypersd/data/instance.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/json_events.hpp>
#include <hypersd/io/text.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

/// \file
/// Instance annotations of the COCO data set: polygons, and run lengths plain or compressed. [Hyper-SD Eq. 14]

namespace hypersd::data {

/// An image of an annotation file with its objects.
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

/// Limits of an annotation file. All other memory is proportional to the file's size.
struct CocoLimits {
  std::int64_t image_pixels = std::int64_t{1} << 24;  ///< of each image
  std::int64_t mask_bytes = std::int64_t{1} << 30;    ///< of all masks together, one byte a pixel
};

namespace detail {

/// An annotation as stored.
struct CocoAnnotation {
  std::int64_t id = 0, image = 0, category = 0;
  bool has_runs = false;
  std::vector<std::vector<double>> polygons;
  std::vector<std::int64_t> size, counts;
  std::string text;  // compressed counts
  std::string what;  // for messages
};

/// Receives the JSON events of an annotation file. False stops the parser; `error` is then the reason.
class CocoHandler {
 public:
  std::map<std::int64_t, std::string> categories;
  std::vector<CocoImage> images;
  std::vector<CocoAnnotation> annotations;
  std::string error;

  bool null() { return scalar("null"); }
  bool boolean(bool /*value*/) { return scalar("a boolean"); }
  bool number(io::JsonNumber kind, std::uint64_t /*value*/, std::string_view text) {
    if (skipping_) return scalar("");
    const std::string what = "the number " + io::in_quotes(text, 40);
    if (where_ == Where::Polygon) {
      double x = 0;
      const bool read = std::from_chars(text.data(), text.data() + text.size(), x).ec == std::errc();
      return read ? (points_.push_back(x), true) : refuse(what + " is out of range");
    }
    std::int64_t* into = where_ == Where::Entry ? integer_field() : nullptr;
    if (into == nullptr && where_ != Where::Numbers) return scalar(what);
    std::int64_t n = 0;
    if (kind == io::JsonNumber::Real || std::from_chars(text.data(), text.data() + text.size(), n).ec != std::errc())
      return refuse("field " + io::in_quotes(field_) + " holds " + what + " instead of an integer");
    if (into == nullptr) return numbers_->push_back(n), true;
    *into = n;
    has_id_ = has_id_ || field_ == "id";
    return true;
  }
  bool string(std::string& value) {
    if (skipping_) return scalar("");
    if (where_ == Where::Entry && section_ == "categories" && field_ == "name") return name_ = value, true;
    if (where_ == Where::Entry && section_ == "images" && field_ == "file_name") return image_.file_name = value, true;
    if (where_ == Where::Runs && field_ == "counts") return annotation_.text = value, true;
    return scalar("a string");
  }
  bool key(std::string& name) {
    if (skipping_) return true;
    std::set<std::string>& seen = where_ == Where::Root ? sections_ : where_ == Where::Entry ? fields_ : run_fields_;
    (where_ == Where::Root ? section_ : field_) = name;
    if (!known(name)) {
      skipping_ = true;
      skip_from_ = depth_;
      return true;
    }
    return seen.insert(name).second || refuse("key " + io::in_quotes(name) + " occurs twice");
  }
  bool start_object() {
    if (!descend() || skipping_) return error.empty();
    if (depth_ == 1) return where_ = Where::Root, true;
    if (where_ == Where::List) {
      where_ = Where::Entry;
      ++entry_;
      has_id_ = false;
      fields_.clear();
      image_ = {};
      annotation_ = {};
      id_ = 0;
      name_.clear();
      return true;
    }
    if (where_ != Where::Entry || field_ != "segmentation") return refuse_value("an object");
    where_ = Where::Runs;
    annotation_.has_runs = true;
    run_fields_.clear();
    return true;
  }
  bool end_object() {
    if (ascend()) return true;
    if (where_ == Where::Runs) {
      where_ = Where::Entry;
      return run_fields_.size() == 2 || refuse("its segmentation lacks size or counts");
    }
    if (where_ != Where::Entry) return true;
    where_ = Where::List;
    return finish_entry();
  }
  bool start_array() {
    if (!descend() || skipping_) return error.empty();
    switch (where_) {
      case Where::Root:
        if (depth_ == 1) return refuse("it is no JSON object");
        where_ = Where::List;
        entry_ = 0;
        return true;
      case Where::Entry:
        if (field_ != "segmentation") return refuse_value("a list");
        where_ = Where::Polygons;
        return true;
      case Where::Polygons:
        where_ = Where::Polygon;
        points_.clear();
        return true;
      case Where::Runs:
        where_ = Where::Numbers;
        numbers_ = field_ == "size" ? &annotation_.size : &annotation_.counts;
        return true;
      default: return refuse_value("a list");
    }
  }
  bool end_array() {
    if (ascend()) return true;
    if (where_ == Where::Polygon) {
      where_ = Where::Polygons;
      if (points_.size() < 6) return refuse("a polygon of " + std::to_string(points_.size()) + " numbers");
      annotation_.polygons.push_back(points_);
    } else {
      where_ = where_ == Where::Numbers ? Where::Runs : where_ == Where::Polygons ? Where::Entry : Where::Root;
    }
    return true;
  }
  /// The first of the file's lists that it lacks; empty if it has all.
  [[nodiscard]] std::string missing() const {
    for (const char* section : {"categories", "images", "annotations"})
      if (sections_.count(section) == 0) return section;
    return {};
  }
  /// `annotation 9`, or `image 3 of the list` before its id is known; `its head` outside of entries.
  [[nodiscard]] std::string what() const {
    if (where_ == Where::Root || entry_ == 0) return "its head";
    const std::string kind = section_ == "images" ? "image" : section_ == "categories" ? "category" : "annotation";
    return kind + " " + (has_id_ ? std::to_string(*id_field()) : std::to_string(entry_) + " of the list");
  }

 private:
  // What the innermost open bracket is: the file, one of its lists, an entry, and within an annotation the list of
  // polygons, one polygon, the object of run lengths, a list of integers in that.
  enum class Where { Root, List, Entry, Polygons, Polygon, Runs, Numbers };
  static constexpr int deepest = 64;

  [[nodiscard]] bool known(const std::string& name) const {
    if (where_ == Where::Root) return name == "categories" || name == "images" || name == "annotations";
    if (where_ == Where::Runs) return name == "size" || name == "counts";
    if (name == "id") return true;
    if (section_ == "categories") return name == "name";
    if (section_ == "images") return name == "height" || name == "width" || name == "file_name";
    return name == "image_id" || name == "category_id" || name == "segmentation";
  }
  [[nodiscard]] const std::int64_t* id_field() const {
    return section_ == "images" ? &image_.id : section_ == "categories" ? &id_ : &annotation_.id;
  }
  std::int64_t* integer_field() {
    if (field_ == "id") return const_cast<std::int64_t*>(id_field());
    if (field_ == "height") return &image_.height;
    if (field_ == "width") return &image_.width;
    if (field_ == "image_id") return &annotation_.image;
    return field_ == "category_id" ? &annotation_.category : nullptr;
  }
  bool finish_entry() {
    for (const char* field : section_ == "categories" ? std::vector<const char*>{"id", "name"}
                             : section_ == "images"
                                 ? std::vector<const char*>{"id", "height", "width"}
                                 : std::vector<const char*>{"id", "image_id", "category_id", "segmentation"})
      if (fields_.count(field) == 0) return refuse(std::string("field '") + field + "' is missing");
    if (section_ == "categories") return categories.emplace(id_, name_).second || refuse("its id occurs twice");
    if (section_ == "images") return images.push_back(std::move(image_)), true;
    annotation_.what = what();
    return annotations.push_back(std::move(annotation_)), true;
  }
  bool descend() { return ++depth_ <= deepest || refuse("it is nested too deeply"); }
  // True inside and at the end of a skipped value.
  bool ascend() {
    --depth_;
    if (!skipping_) return false;
    if (depth_ == skip_from_) skipping_ = false;
    return true;
  }
  bool scalar(const std::string& what) {
    if (!skipping_) return depth_ == 0 ? refuse("it is no JSON object") : refuse_value(what);
    if (depth_ == skip_from_) skipping_ = false;
    return true;
  }
  bool refuse_value(const std::string& what) {
    if (where_ == Where::Root) return refuse("key " + io::in_quotes(section_) + " holds " + what);
    if (where_ == Where::List) return refuse("the list holds " + what);
    return refuse("field " + io::in_quotes(field_) + " holds " + what);
  }
  bool refuse(const std::string& why) {
    error = what() + ": " + why;
    return false;
  }

  Where where_ = Where::Root;
  int depth_ = 0, skip_from_ = 0;
  bool skipping_ = false, has_id_ = false;
  std::int64_t entry_ = 0;  // of the list, from 1 on
  std::string section_, field_;
  std::set<std::string> sections_, fields_, run_fields_;
  std::int64_t id_ = 0;  // of a category
  std::string name_;
  CocoImage image_;
  CocoAnnotation annotation_;
  std::vector<double> points_;
  std::vector<std::int64_t>* numbers_ = nullptr;
};

/// The mask of an annotation. Throws FormatError, also for polygons whose points are far too many for an image of this
/// size: they would take minutes to fill.
inline Tensor<std::uint8_t> coco_mask(const CocoAnnotation& a, std::int64_t height, std::int64_t width) {
  if (a.has_runs) {
    require<FormatError>(a.size == std::vector{height, width}, "its mask is of another size");
    return mask_of_runs(a.text.empty() ? a.counts : runs_of_text(a.text), height, width);
  }
  double work = 0;
  for (const auto& points : a.polygons) {
    const std::size_t corners = points.size() / 2;
    work += static_cast<double>(height) * static_cast<double>(corners) + static_cast<double>(height * width) / 8;
  }
  require<FormatError>(work <= 4.0 * static_cast<double>(height * width) + 0x1p26, "its ", a.polygons.size(),
                       " polygons have too many points for ", height, " x ", width, " pixels");
  auto mask = Tensor<std::uint8_t>::zeros(Shape{height, width});
  for (const auto& points : a.polygons) fill_polygon(mask, points);
  return mask;
}

}  // namespace detail

/// Reads an annotation file. Throws IoError, and FormatError naming the file and the entry that is invalid or
/// exceeds `limits`.
inline Coco load_coco(const std::string& path, const CocoLimits& limits = {}) {
  const std::string text = io::read_file(path), where = "file " + io::in_quotes(path) + ", ";
  require<FormatError>(io::valid_utf8(text), where, "its text is not valid UTF-8");
  detail::CocoHandler handler;
  io::JsonEvents json(text, handler);
  const bool ok = json.parse();
  require<FormatError>(ok || json.error().empty(), where, "no valid JSON at byte ", json.position(), ": ",
                       json.error());
  require<FormatError>(ok, where, handler.error);
  require<FormatError>(handler.missing().empty(), where, "its head: key '", handler.missing(), "' is missing");

  Coco out;
  std::map<std::int64_t, int> labels;
  for (const auto& [id, name] : handler.categories) {
    labels[id] = static_cast<int>(out.categories.size());
    out.categories.push_back(name);
  }
  out.images = std::move(handler.images);
  std::map<std::int64_t, std::size_t> places;
  for (const CocoImage& image : out.images) {
    require<FormatError>(places.emplace(image.id, places.size()).second, where, "image ", image.id,
                         ": its id occurs twice");
    require<FormatError>(0 < image.height && 0 < image.width && Shape{image.height, image.width}.fits() &&
                             image.height * image.width <= limits.image_pixels,
                         where, "image ", image.id, ": its size is ", image.height, " x ", image.width, "; at most ",
                         limits.image_pixels, " pixels are read (CocoLimits::image_pixels)");
  }
  std::int64_t bytes = 0;
  for (const detail::CocoAnnotation& a : handler.annotations) {
    try {
      const auto place = places.find(a.image);
      require<FormatError>(place != places.end(), "there is no image ", a.image);
      const auto label = labels.find(a.category);
      require<FormatError>(label != labels.end(), "there is no category ", a.category);
      CocoImage& image = out.images[place->second];
      bytes += image.height * image.width;
      require<FormatError>(bytes <= limits.mask_bytes, "the masks up to here take ", bytes, " bytes; at most ",
                           limits.mask_bytes, " are read (CocoLimits::mask_bytes)");
      image.objects.push_back({label->second, detail::coco_mask(a, image.height, image.width)});
    } catch (const FormatError& error) {
      fail<FormatError>(where, a.what, ": ", error.what());
    }
  }
  return out;
}

}  // namespace hypersd::data
