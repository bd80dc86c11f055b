// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/image_folder.hpp>

#include <doctest/doctest.h>
#include <temp_folder.hpp>

#include <fstream>

using namespace hypersd;

namespace {

/// A folder whose metadata.jsonl is `lines`.
struct Folder {
  test::TempFolder folder;
  explicit Folder(const std::string& lines) { std::ofstream(folder / "metadata.jsonl") << lines; }
};

std::string fault(const std::string& lines) {
  const Folder f(lines);
  try {
    (void)data::read_image_folder(f.folder.path());
  } catch (const FormatError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("image folder: names and captions, blank lines and Windows' line ends") {
  const Folder f(
      "{\"file_name\": \"a.png\", \"text\": \"a r\\u00e9d ball\"}\r\n\n"
      "{\"text\": \"b\", \"file_name\": \"sub/b.png\", \"other\": [1]}");
  const auto images = data::read_image_folder(f.folder.path());
  REQUIRE(images.size() == 2);
  CHECK(images[0].path == f.folder / "a.png");
  CHECK(images[0].caption == "a r\u00e9d ball");
  CHECK(images[1].path == f.folder / "sub/b.png");
}

TEST_CASE("image folder: faults name file, line and field; paths stay inside") {
  CHECK(fault("{\"file_name\": \"a.png\", \"text\": \"x\"}\n{\"file_name\": \"b.png\"}\n").find("line 2") !=
        std::string::npos);
  CHECK(fault("{\"file_name\": \"b.png\"}").find("'text' is missing") != std::string::npos);
  CHECK(fault("[1]").find("'file_name' is missing") != std::string::npos);
  CHECK(fault("{\"file_name\": ").find("line 1") != std::string::npos);
  CHECK(fault("\n").find("no images") != std::string::npos);
  for (const char* name : {"../a.png", "/etc/a.png", "x/../../a.png", "x\\\\a.png", ""})
    CHECK(fault(std::string("{\"text\": \"x\", \"file_name\": \"") + name + "\"}").find("inside the folder") !=
          std::string::npos);
  const test::TempFolder empty;
  CHECK_THROWS_AS((void)data::read_image_folder(empty.path()), IoError);
}

TEST_CASE("image folder: the square in the middle, resized") {
  io::Image wide(6, 4, 3, 0);  // columns 1 to 4 are the square
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 6; ++x) {
      wide.at(x, y)[0] = x == 0 || x == 5 ? 0 : 255;
      wide.at(x, y)[2] = static_cast<std::uint8_t>(51 * y);
    }
  const auto same = data::square(wide, 4);
  CHECK(same.shape() == Shape{4, 4, 3});
  for (std::int64_t i = 0; i < 16; ++i) {
    CHECK(same[i * 3] == 1);
    CHECK(same[i * 3 + 1] == -1);
    CHECK(same[i * 3 + 2] == doctest::Approx(static_cast<double>(51 * (i / 4)) / 127.5 - 1).epsilon(1e-6));
  }
  // Constant images stay constant at any size, since the filter's rows sum to 1.
  io::Image grey(9, 7, 1, 200);
  for (const std::int64_t size : {1, 3, 7, 20}) {
    const auto x = data::square(grey, size);
    CHECK(x.shape() == Shape{size, size, 3});
    for (const float v : x.span()) CHECK(v == doctest::Approx(200 / 127.5 - 1).epsilon(1e-5));
  }
}
