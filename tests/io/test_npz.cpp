// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/npz.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <hypersd/core/philox.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using namespace std::string_literals;
using test::mentions;
using test::message_of;

namespace {

const std::string golden = HYPERSD_TEST_DATA;

// Replaces the bytes at `at`.
std::string with(std::string bytes, std::size_t at, const std::string& part) {
  return bytes.replace(at, part.size(), part);
}

// An archive of the entries a (stored) and b (deflated).
std::string archive(const test::TempFolder& folder) {
  io::ZipWriter zip(folder / "zip");
  zip.add("a", "some text", false);
  zip.add("b", std::string(1000, 'b'), true);
  zip.commit();
  return io::read_file(folder / "zip");
}

std::string refusal(const test::TempFolder& folder, const std::string& bytes, const std::string& entry = "a") {
  io::atomic_write(folder / "bad.zip", bytes);
  return message_of<FormatError>([&] { (void)io::ZipFile(folder / "bad.zip").read(entry); });
}

}  // namespace

TEST_CASE("archives that NumPy wrote, stored and deflated") {
  for (const char* name : {"/arrays.npz", "/arrays_deflated.npz"}) {
    const io::NpzFile file(golden + name);
    CHECK(file.names() == std::vector<std::string>{"count", "empty", "flags", "group/name", "half", "x", "zeros"});
    CHECK(file.contains("x"));
    CHECK_FALSE(file.contains("x.npy"));
    const auto x = file.tensor<float>("x");
    CHECK(x.shape() == Shape{3, 4});
    for (std::int64_t i = 0; i < 12; ++i) CHECK(x[i] == static_cast<float>(i) / 2);
    CHECK(static_cast<float>(file.tensor<half>("half")[1]) == -2.0F);
    CHECK(file.get<float>("flags").to_vector() == std::vector<float>{1, 0, 1});
    CHECK(file.tensor<std::int64_t>("count").item() == 7);
    CHECK(file.info("count").shape == Shape{});
    CHECK(file.tensor<double>("zeros").to_vector() == std::vector<double>(100));
    CHECK(file.tensor<std::uint8_t>("empty").shape() == Shape{0, 3});
    CHECK(file.get<std::int64_t>("group/name").to_vector() == std::vector<std::int64_t>{1, 2});
    CHECK(
        mentions(message_of<FormatError>([&] { (void)file.tensor<double>("x"); }), "elements of 'x' are F32, not F64"));
    CHECK(mentions(message_of<FormatError>([&] { (void)file.get<float>("none"); }), "there is no array 'none'"));
  }
}

TEST_CASE("round trip; the same arrays give the same bytes") {
  const test::TempFolder folder;
  const auto x = Tensor<float>::from({2, 2}, {1, 2, 3, 4});
  const auto many = Tensor<double>::full({100, 100}, 0.25);
  const auto write = [&](const std::string& name, io::Compress compress) {
    io::NpzWriter file(folder / name, compress);
    file.add("x", x);
    file.add("many", many);
    file.add("empty", Tensor<std::uint8_t>(Shape{0, 2}));
    file.commit();
    return io::read_file(folder / name);
  };
  const std::string plain = write("plain", io::Compress::No), packed = write("packed", io::Compress::Yes);
  CHECK(write("again", io::Compress::Yes) == packed);
  CHECK(plain.size() > 80000);
  CHECK(packed.size() < 2000);
  for (const char* name : {"plain", "packed"}) {
    const io::NpzFile file(folder / name);
    CHECK(file.tensor<float>("x").to_vector() == x.to_vector());
    CHECK(file.tensor<double>("many").to_vector() == many.to_vector());
    CHECK(file.tensor<std::uint8_t>("empty").shape() == Shape{0, 2});
  }
}

TEST_CASE("a file that is not committed leaves the old one") {
  const test::TempFolder folder;
  io::atomic_write(folder / "a.npz", "old"s);
  {
    io::NpzWriter file(folder / "a.npz");
    file.add("x", Tensor<float>::ones({1000}));
    CHECK(mentions(message_of<FormatError>([&] { file.add("x", Tensor<float>::ones({1})); }), "'x.npy'"));
    CHECK_THROWS_AS(file.add("", Tensor<float>::ones({1})), FormatError);
    CHECK_THROWS_AS(file.add("u", Tensor<float>()), ShapeError);
  }
  CHECK(io::read_file(folder / "a.npz") == "old");
  CHECK(folder.count() == 1);
  const test::FileSizeLimit limit(100);
  io::NpzWriter file(folder / "a.npz");
  file.add("x", Tensor<float>::ones({1000}));
  CHECK_THROWS_AS(file.commit(), IoError);
}

TEST_CASE("an archive is read with a comment, extra fields, zip64 records and other files in it") {
  const test::TempFolder folder;
  const std::string good = archive(folder), end = good.substr(good.size() - 22);
  const auto read = [&](const std::string& bytes) {
    io::atomic_write(folder / "good.zip", bytes);
    const io::ZipFile zip(folder / "good.zip");
    CHECK(zip.names() == std::vector<std::string>{"a", "b"});
    CHECK(zip.read("b") == std::string(1000, 'b'));
    return zip.read("a") == "some text";
  };
  CHECK(read(good));
  CHECK(read(with(good, good.size() - 2, "\3\0"s) + "PK\5"));
  // The end record of 32 bits is full; zip64 records before it have the numbers.
  std::string wide = good.substr(0, good.size() - 22);
  const std::size_t end_at = wide.size();
  const auto put = [&](std::uint64_t value, std::size_t bytes) { io::detail::put_little(wide, value, bytes); };
  put(0x06064b50, 4);
  put(44, 8);
  put(0, 4);
  put(0, 8);
  put(2, 8);
  put(2, 8);
  wide += end.substr(12, 4) + std::string(4, '\0') + end.substr(16, 4) + std::string(4, '\0');
  put(0x07064b50, 4);
  put(0, 4);
  put(end_at, 8);
  put(1, 4);
  CHECK(read(wide + with(end, 8, std::string(12, '\xFF'))));
  CHECK(mentions(refusal(folder, wide.substr(0, end_at) + std::string(20, 'x') + with(end, 8, std::string(12, '\xFF'))),
                 "directory"));
  io::NpzWriter file(folder / "mixed.npz");
  file.add("x", Tensor<float>::ones({1}));
  file.commit();
  CHECK(io::NpzFile(folder / "zip").names().empty());  // entries without .npy are no arrays
}

TEST_CASE("what is broken is refused by name") {
  const test::TempFolder folder;
  const std::string good = archive(folder);
  const std::size_t directory = good.find("PK\1\2");
  CHECK(mentions(refusal(folder, ""), "bad.zip': it does not end like a zip file"));
  CHECK(mentions(refusal(folder, good + "x"), "it does not end like a zip file"));
  CHECK(mentions(refusal(folder, good, "c"), "there is no entry 'c'"));
  CHECK(mentions(refusal(folder, with(good, 32, "S")), "entry 'a': damaged: its checksum differs"));
  CHECK(mentions(refusal(folder, with(good, directory + 8, "\1")), "entry 'a' is encrypted"));
  CHECK(mentions(refusal(folder, with(good, directory + 10, "\14")), "neither stored nor deflated"));
  CHECK(mentions(refusal(folder, with(good, directory + 24, "\12")), "stored with two different sizes"));
  CHECK(mentions(refusal(folder, with(good, directory + 20, "\xFF\xFF\xFF\x7F")), "reaches beyond the data"));
  CHECK(mentions(refusal(folder, with(good, directory + 42, "\xFF\xFF\xFF\x7F")), "truncated"));
  CHECK(mentions(refusal(folder, with(good, directory + 42, "\2")), "not where the directory says"));
  CHECK(mentions(refusal(folder, with(good, 30, "x")), "not where the directory says"));
  CHECK(mentions(refusal(folder, with(good, directory, "x")), "the directory is broken"));
  CHECK(mentions(refusal(folder, with(good, directory + 28, "\xFF")), "the directory is broken"));
  CHECK(mentions(refusal(folder, with(good, good.size() - 14, "\3")), "several files"));
  CHECK(mentions(refusal(folder, with(good, good.size() - 14, "\1\0\1\0"s)), "more than its entries"));
  CHECK(mentions(refusal(folder, with(good, good.size() - 6, "\xFF\xFF\xFF")), "not where the end record says"));
  const std::size_t second = good.find("PK\1\2", directory + 1);
  CHECK(mentions(refusal(folder, with(good, second + 46, "a")), "entry 'a' occurs twice"));
  CHECK(mentions(refusal(folder, with(good, second + 24, "\xE7"), "b"), "entry 'b': the compressed data are broken"));
  CHECK(mentions(refusal(folder, with(good, second + 24, "\xFF\xFF\xFF\xFE"), "b"), "larger than its compressed data"));
  CHECK_THROWS_AS(io::ZipFile(folder / "none"), IoError);
}

TEST_CASE("changed and cut archives are refused or read, never worse") {
  const test::TempFolder folder;
  const std::string good = archive(folder);
  const Stream random = stream(3, "mutate");
  int accepted = 0;
  for (std::uint64_t i = 0; i < 600; ++i) {
    std::string mutant = good;
    const auto at = static_cast<std::size_t>(integer_at(random, 2 * i, static_cast<std::int64_t>(good.size())));
    if (i % 3 == 0)
      mutant.resize(at);
    else
      mutant[at] = static_cast<char>(bits_at(random, 2 * i + 1));
    std::ofstream(folder / "mutant", std::ios::binary) << mutant;
    try {
      const io::ZipFile zip(folder / "mutant");
      for (const std::string& name : zip.names()) {
        const std::string content = zip.read(name);
        CHECK((content == "some text" || content == std::string(1000, 'b')));  // the checksums hold
      }
      ++accepted;
    } catch (const FormatError&) {
    }
  }
  CHECK(accepted < 600);
}
