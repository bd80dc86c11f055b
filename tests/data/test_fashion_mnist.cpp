// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/fashion_mnist.hpp>

#include <doctest/doctest.h>

#include <algorithm>

#include <temp_folder.hpp>
#include "io/gzip_text.hpp"

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

std::string idx(const std::vector<int>& extents, const std::string& bytes) {
  std::string out{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const int n : extents) out += std::string{'\0', '\0', static_cast<char>(n >> 8), static_cast<char>(n & 255)};
  return out + bytes;
}

/// A small set: three training pictures of 3 x 5, two test pictures.
void write_set(const test::TempFolder& folder) {
  io::atomic_write(folder / "train-images-idx3-ubyte", idx({3, 3, 5}, std::string(45, '\xFF')));
  io::atomic_write(folder / "train-labels-idx1-ubyte.gz", test::gzip(idx({3}, std::string("\0\1\3", 3))));
  io::atomic_write(folder / "t10k-images-idx3-ubyte.gz", test::gzip(idx({2, 3, 5}, std::string(30, '\x7F'))));
  io::atomic_write(folder / "t10k-labels-idx1-ubyte", idx({2}, std::string("\2\0", 2)));
}

}  // namespace

TEST_CASE("a set of one's own, partly compressed") {
  const test::TempFolder folder;
  write_set(folder);
  const auto set = data::load_images(folder.path());
  CHECK(set.train.size() == 3);
  CHECK(set.test.size() == 2);
  CHECK(set.class_names == std::vector<std::string>{"class 0", "class 1", "class 2", "class 3"});
  CHECK(set.train.pixels().shape() == Shape{3, 8, 8, 1});
  const auto image = set.train.images(0, 1);
  CHECK(image[0] == -1.0F);
  CHECK(image[2 * 8 + 1] == 1.0F);
  CHECK(set.test.labels()[0] == 2);
  CHECK(data::load_images(folder.path(), {.multiple = 1, .limit = 1}).train.pixels().shape() == Shape{1, 3, 5, 1});
  CHECK(data::load_images(folder.path(), {}, {"a", "b", "c", "d"}).class_names[3] == "d");
  CHECK_THROWS_AS(data::load_images(folder.path(), {}, {"a"}), OptionError);
  CHECK_THROWS_AS(data::load_images(folder.path(), {.multiple = 0}), OptionError);
}

TEST_CASE("names may differ, plain files come first") {
  const test::TempFolder folder;
  write_set(folder);
  std::filesystem::rename(folder / "t10k-images-idx3-ubyte.gz", folder / "test-images.idx.gz");
  io::atomic_write(folder / "train-images-idx3-ubyte.gz", "broken, but the plain file is there");
  CHECK(data::load_images(folder.path()).train.size() == 3);
}

TEST_CASE("colour pictures") {
  const test::TempFolder folder;
  write_set(folder);
  io::atomic_write(folder / "train-images-idx3-ubyte", idx({3, 2, 2, 3}, std::string(36, 'x')));
  io::atomic_write(folder / "t10k-images-idx3-ubyte.gz", idx({2, 2, 2, 3}, std::string(24, 'x')));
  CHECK(data::load_images(folder.path()).train.pixels().shape() == Shape{3, 8, 8, 3});
}

TEST_CASE("what is missing or does not belong together is named") {
  const test::TempFolder folder;
  const auto refusal = [&] { return message_of<FormatError>([&] { data::load_images(folder.path()); }); };
  std::string text = message_of<IoError>([&] { data::load_images(folder / "none"); });
  CHECK(mentions(text, "none'"));
  CHECK(mentions(text, "'dataset-fashion-mnist'"));
  write_set(folder);
  std::filesystem::remove(folder / "t10k-labels-idx1-ubyte");
  text = message_of<IoError>([&] { data::load_images(folder.path()); });
  CHECK(mentions(text, "has no file t10k-labels*"));
  CHECK(mentions(text, "dataset-fashion-mnist"));

  write_set(folder);
  io::atomic_write(folder / "t10k-labels-idx1-ubyte", idx({3}, std::string("\2\0\0", 3)));
  text = refusal();
  CHECK(mentions(text, "holds 2 images but"));
  CHECK(mentions(text, "holds 3 labels"));
  CHECK(mentions(text, "t10k-labels-idx1-ubyte'"));

  write_set(folder);
  io::atomic_write(folder / "train-images-idx3-ubyte", idx({3, 3, 5}, std::string(44, 'x')));
  CHECK(mentions(refusal(), "truncated"));
  io::atomic_write(folder / "train-images-idx3-ubyte", "this is a text file");
  CHECK(mentions(refusal(), "no IDX"));
  io::atomic_write(folder / "train-images-idx3-ubyte", idx({3}, "xyz"));
  CHECK(mentions(refusal(), "these are no images"));
  io::atomic_write(folder / "train-images-idx3-ubyte", idx({3, 0, 5}, ""));
  CHECK(mentions(refusal(), "holds no images"));
  io::atomic_write(folder / "train-images-idx3-ubyte", idx({3, 9, 9}, std::string(243, 'x')));
  CHECK(mentions(refusal(), "differ in size"));
  write_set(folder);
  io::atomic_write(folder / "t10k-labels-idx1-ubyte", idx({2, 1}, "xy"));
  CHECK(mentions(refusal(), "these are no labels"));
}

TEST_CASE("labels with a gap need class names") {
  const test::TempFolder folder;
  write_set(folder);
  io::atomic_write(folder / "t10k-labels-idx1-ubyte", idx({2}, std::string("\2\xFF", 2)));
  CHECK(mentions(message_of<FormatError>([&] { data::load_images(folder.path()); }),
                 "the highest is 255, but no image is of class 4; if that is intended, give the class names"));
  CHECK(data::load_images(folder.path(), {}, data::numbered_classes(256)).train.classes() == 256);
}

TEST_CASE("a named pipe in the data folder is named, not waited for") {
  const test::TempFolder folder;
  write_set(folder);
  std::filesystem::remove(folder / "train-images-idx3-ubyte");
  REQUIRE(::mkfifo((folder / "train-images-idx3-ubyte").c_str(), 0666) == 0);
  CHECK(mentions(message_of<IoError>([&] { data::load_images(folder.path()); }),
                 "train-images-idx3-ubyte': it is a named pipe"));
}

TEST_CASE("Fashion-MNIST as Debian installs it") {
  if (!std::filesystem::is_directory(data::fashion_mnist_folder)) return;
  const auto set = data::load_images();
  CHECK(set.train.size() == 60000);
  CHECK(set.test.size() == 10000);
  CHECK(set.train.pixels().shape() == Shape{60000, 32, 32, 1});
  CHECK(set.class_names == data::fashion_mnist_classes());
  for (int label = 0; label < 10; ++label) CHECK(set.test.of_class(label).size() == 1000);
}
