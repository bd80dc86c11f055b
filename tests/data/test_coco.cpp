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

TEST_CASE("compressed run lengths of every size are read") {
  CHECK(data::runs_of_text("5220007") == std::vector<std::int64_t>{5, 2, 2, 2, 2, 2, 9});
  // A frame around a hole, as pycocotools writes it: long runs and differences of both signs.
  const std::string text =
      "c2R1600000000000000UO4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:"
      "La0000000000000000000000000000000000000U1";
  auto expected = Tensor<std::uint8_t>::zeros(Shape{40, 50});
  for (std::int64_t y = 3; y < 37; ++y)
    for (std::int64_t x = 2; x < 49; ++x) expected[y * 50 + x] = y >= 10 && y < 20 && x >= 10 && x < 30 ? 0 : 1;
  CHECK(picture(data::mask_of_runs(data::runs_of_text(text), 40, 50)) == picture(expected));
  CHECK_THROWS_AS(data::runs_of_text("P"), FormatError);    // more is promised
  CHECK_THROWS_AS(data::runs_of_text("5 2"), FormatError);  // a blank
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
  CHECK_THROWS_AS((void)data::load_coco(write("[1")), FormatError);
  CHECK_THROWS_AS((void)data::load_coco("/no/such/file.json"), IoError);
}
