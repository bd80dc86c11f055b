// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/coco.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace hypersd;

namespace {

std::string write(const std::string& text) {
  const auto path = (std::filesystem::temp_directory_path() / "hypersd-coco.json").string();
  std::ofstream(path) << text;
  return path;
}
std::string file(const std::string& annotation) {
  return write(R"({"categories": [{"id": 7, "name": "cup"}, {"id": 3, "name": "cat"}],
                   "images": [{"id": 5, "height": 4, "width": 6, "file_name": "a.png"}],
                   "annotations": [)" +
               annotation + "]}");
}
std::string picture(const Tensor<std::uint8_t>& mask) {
  std::string out;
  for (std::int64_t y = 0; y < mask.dim(0); ++y) {
    for (std::int64_t x = 0; x < mask.dim(1); ++x) out += mask[y * mask.dim(1) + x] != 0 ? '#' : '.';
    out += '\n';
  }
  return out;
}

}  // namespace

TEST_CASE("polygons, run lengths and compressed run lengths give the same mask") {
  const std::string expected = "......\n.###..\n.###..\n......\n";
  // The rectangle from (1, 1) to (4, 3); runs down the columns: 5 off, 2 on, 2 off, 2 on, 2 off, 2 on, 9 off. The text
  // is pycocotools 2.0.11's for them.
  for (const char* segmentation :
       {R"([[1, 1, 4, 1, 4, 3, 1, 3]])", R"({"size": [4, 6], "counts": [5, 2, 2, 2, 2, 2, 9]})",
        R"({"size": [4, 6], "counts": "5220007"})"}) {
    CAPTURE(segmentation);
    const auto coco = data::load_coco(
        file(std::string(R"({"id": 1, "image_id": 5, "category_id": 7, "segmentation": )") + segmentation + "}"));
    REQUIRE(coco.images.size() == 1);
    REQUIRE(coco.images[0].objects.size() == 1);
    CHECK(coco.categories == std::vector<std::string>{"cat", "cup"});
    CHECK(coco.images[0].objects[0].label == 1);
    CHECK(picture(coco.images[0].objects[0].mask) == expected);
  }
}

TEST_CASE("two polygons are one object; a triangle has its pixels") {
  const auto coco = data::load_coco(file(
      R"({"id": 1, "image_id": 5, "category_id": 3, "segmentation": [[0, 0, 4, 0, 0, 4], [5, 0, 6, 0, 6, 1, 5, 1]]})"));
  CHECK(picture(coco.images[0].objects[0].mask) == "###..#\n##....\n#.....\n......\n");
}

TEST_CASE("what does not fit is refused with the file and the annotation") {
  const auto refused = [](const std::string& annotation, const char* words) {
    CAPTURE(annotation);
    CHECK_THROWS_WITH_AS((void)data::load_coco(file(annotation)), doctest::Contains(words), FormatError);
    CHECK_THROWS_WITH_AS((void)data::load_coco(file(annotation)), doctest::Contains("hypersd-coco.json"), FormatError);
  };
  refused(R"({"id": 9, "image_id": 6, "category_id": 3, "segmentation": []})", "annotation 9: there is no image 6");
  refused(R"({"id": 9, "image_id": 5, "category_id": 4, "segmentation": []})", "no category 4");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": [[1, 2]]})", "a polygon of 2 numbers");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": {"size": [4, 6], "counts": [3]}})",
          "3 of 4 x 6");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": {"size": [6, 4], "counts": [24]}})",
          "another size");
  refused(R"({"id": 9, "image_id": 5})", "annotation 9");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": [[1e9, 1, 4, 1, 4, 3]]})",
          "annotation 9: a polygon's coordinate 1e+09 is beyond 1.04858e+06");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": [[1e999, 1, 4, 1, 4, 3]]})",
          "annotation 9: the number '1e999' is out of range");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": [[NaN, 1, 4, 1, 4, 3]]})", "no valid JSON");
  refused(R"({"id": 9, "id": 8})", "annotation 9: key 'id' occurs twice");
  refused(R"({"image_id": 5.0, "id": 8})",
          "annotation 1 of the list: field 'image_id' holds the number '5.0' instead of an integer");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": [1]})",
          "field 'segmentation' holds the number");
  refused(R"({"id": "9"})", "annotation 1 of the list: field 'id' holds a string");
  refused(R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": {"size": [4, 6]}})", "lacks size or counts");
  refused("7", "its head: the list holds the number '7'");
  CHECK_THROWS_WITH_AS((void)data::load_coco(write("[1")), doctest::Contains("it is no JSON object"), FormatError);
  CHECK_THROWS_WITH_AS((void)data::load_coco(write(R"({"images": [], "categories": []})")),
                       doctest::Contains("key 'annotations' is missing"), FormatError);
  CHECK_THROWS_WITH_AS((void)data::load_coco(write(R"({"images": {}})")), doctest::Contains("key 'images' holds an"),
                       FormatError);
  CHECK_THROWS_AS((void)data::load_coco("/no/such/file.json"), IoError);
}

TEST_CASE("unknown fields are skipped, lists come in any order") {
  const auto coco = data::load_coco(write(
      R"({"info": {"deep": [[[{"a": [1, "x", null, true]}]]]}, "annotations": [{"id": 1, "score": 0.5, "bbox": [1, 2],
          "attributes": {"id": 7}, "image_id": -5, "category_id": 3, "segmentation": [], "iscrowd": 0}],
          "images": [{"license": {"id": 3}, "id": -5, "height": 2, "width": 3}], "licenses": [],
          "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}]})"));
  REQUIRE(coco.images.size() == 1);
  CHECK(coco.images[0].id == -5);
  REQUIRE(coco.images[0].objects.size() == 1);
  CHECK(picture(coco.images[0].objects[0].mask) == "...\n...\n");
}

TEST_CASE("a nested file is refused, not followed") {
  for (const char* where : {R"({"id": )", R"({"other": )"}) {
    const std::string deep = where + std::string(100'000, '[') + std::string(100'000, ']') + "}";
    CHECK_THROWS_WITH_AS((void)data::load_coco(file(deep)), doctest::Contains("hypersd-coco.json"), FormatError);
  }
}

TEST_CASE("memory and time are bounded by declared limits") {
  const auto with_size = [](const std::string& size, const std::string& annotations) {
    return write(R"({"categories": [{"id": 3, "name": "cat"}], "images": [{"id": 5, )" + size +
                 R"(}], "annotations": [)" + annotations + "]}");
  };
  const auto refused = [](const std::string& path, const char* words, const data::CocoLimits& limits = {}) {
    CHECK_THROWS_WITH_AS((void)data::load_coco(path, limits), doctest::Contains(words), FormatError);
  };
  const std::string one = R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": []})";
  refused(with_size(R"("height": 65535, "width": 14000)", one),
          "image 5: its size is 65535 x 14000; at most 16777216 pixels are read (CocoLimits::image_pixels)");
  refused(with_size(R"("height": 9223372036854775807, "width": 2)", one), "image 5: its size is");
  refused(with_size(R"("height": -4, "width": -4)", one), "image 5: its size is -4 x -4");
  refused(with_size(R"("height": 0, "width": 4)", one), "image 5: its size is 0 x 4");
  refused(with_size(R"("height": 4, "width": 4)", one + "," + one),
          "annotation 9: the masks up to here take 32 bytes; at most 31 are read (CocoLimits::mask_bytes)", {100, 31});
  std::string points = "0, 0, 1, 1";
  for (int i = 0; i < 40'000; ++i) points += ", 0, 4000";
  refused(with_size(R"("height": 4000, "width": 40)",
                    R"({"id": 9, "image_id": 5, "category_id": 3, "segmentation": [[)" + points + "]]}"),
          "annotation 9: its 1 polygons have too many points for 4000 x 40 pixels");
}

TEST_CASE("ids occur once") {
  const auto refused = [](const std::string& text, const char* words) {
    CHECK_THROWS_WITH_AS((void)data::load_coco(write(text)), doctest::Contains(words), FormatError);
  };
  refused(R"({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]})", "category 3: its id occurs twice");
  refused(R"({"categories": [], "annotations": [], "images": [{"id": 1, "height": 1, "width": 1},
              {"id": 1, "height": 1, "width": 1}]})",
          "image 1: its id occurs twice");
  refused(R"({"images": [], "images": []})", "its head: key 'images' occurs twice");
}
