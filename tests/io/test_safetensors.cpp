// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/safetensors.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <hypersd/core/philox.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <limits>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

std::string image(const std::string& header, const std::string& data) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>((header.size() >> (8 * i)) & 0xFF);
  return out + header + data;
}

io::SafetensorsWriter sample() {
  io::SafetensorsWriter w;
  w.add("weight", Tensor<float>::from({2, 3}, {1.0F, -2.0F, 0.5F, 3.0F, 1e-30F, 65504.0F}));
  w.add("half", Tensor<half>::from({2}, std::vector<half>{half(1.5F), half(-0.25F)}));
  w.add("brain", Tensor<bfloat16>::from({1}, std::vector<bfloat16>{bfloat16(3.0F)}));
  w.add("double", Tensor<double>::from(Shape{}, {0.1}));
  w.add("ids", Tensor<std::int64_t>::from({3}, {1, -1, 1LL << 40}));
  w.add("small", Tensor<std::int32_t>::from({2}, {7, -7}));
  w.add("bytes", Tensor<std::uint8_t>::from({3}, {0, 1, 255}));
  w.add("empty", Tensor<float>(Shape{0, 4}));
  w.metadata["note"] = "\xC3\xA9 \"quoted\"\n";
  return w;
}

}  // namespace

TEST_CASE("reads what was written, by both kinds of access") {
  const test::TempFolder folder;
  sample().write(folder / "s.safetensors");
  for (const io::Access access : {io::Access::Read, io::Access::Map}) {
    const io::SafetensorsFile f(folder / "s.safetensors", access);
    CHECK(f.size() == 8);
    CHECK(f.names().front() == "brain");
    CHECK(f.contains("ids"));
    CHECK_FALSE(f.contains("idz"));
    CHECK(f.metadata().at("note") == "\xC3\xA9 \"quoted\"\n");
    CHECK(f.metadata("format", "") == "pt");
    CHECK(f.metadata("absent", "fallback") == "fallback");
    CHECK(f.shape("weight") == Shape{2, 3});
    CHECK(f.tensor<float>("weight")[5] == 65504.0F);
    CHECK(f.tensor<double>("double").item() == 0.1);
    CHECK(f.tensor<std::int64_t>("ids")[2] == 1LL << 40);
    CHECK(f.tensor<std::uint8_t>("bytes")[2] == 255);
    CHECK(f.tensor<float>("empty").shape() == Shape{0, 4});
    CHECK(static_cast<float>(f.tensor<half>("half")[1]) == -0.25F);
  }
}

TEST_CASE("converts on request") {
  const auto f = io::SafetensorsFile::from_bytes(sample().to_bytes());
  CHECK(f.get<float>("half")[0] == 1.5F);
  CHECK(f.get<float>("brain")[0] == 3.0F);
  CHECK(f.get<double>("weight")[2] == 0.5);
  CHECK(f.get<float>("ids", io::Convert::AnyNumber)[1] == -1.0F);
  CHECK(f.get<float>("bytes", io::Convert::AnyNumber)[2] == 255.0F);
  CHECK(mentions(message_of<FormatError>([&] { return f.get<float>("bytes"); }),
                 "cannot be converted to F32: integers become floating point with io::Convert::AnyNumber only"));
  CHECK_THROWS_AS((void)f.get<half>("ids"), FormatError);
  CHECK_THROWS_AS(f.read_into("ids", Tensor<float>(f.shape("ids"))), FormatError);
  CHECK(static_cast<float>(f.get<half>("weight")[5]) == 65504.0F);
  CHECK(static_cast<float>(f.get<bfloat16>("double").item()) == doctest::Approx(0.1).epsilon(0.01));
  CHECK(f.get<std::int64_t>("small")[1] == -7);
  CHECK(f.get<std::int32_t>("bytes")[2] == 255);
  CHECK(mentions(message_of<FormatError>([&] { return f.get<std::int32_t>("ids"); }),
                 "1099511627776 does not fit into I32"));
  CHECK(mentions(message_of<FormatError>([&] { return f.get<std::uint8_t>("small"); }), "-7 does not fit into U8"));
  CHECK(mentions(message_of<FormatError>([&] { return f.get<std::int32_t>("weight"); }), "'weight' F32 [2, 3]"));
  CHECK(mentions(message_of<FormatError>([&] { return f.tensor<double>("weight"); }), "F64 was requested"));
  CHECK(mentions(message_of<FormatError>([&] { return f.get<float>("none"); }), "has no tensor 'none'"));

  const Tensor<double> into(Shape{2, 3});
  f.read_into("weight", into);
  CHECK(into[3] == 3.0);
  const Tensor<double> other(Shape{3, 2});
  CHECK(mentions(message_of<FormatError>([&] { f.read_into("weight", other); }), "shape [3, 2] was expected"));
}

TEST_CASE("many elements convert in pieces; NaN and infinity survive") {
  io::SafetensorsWriter w;
  Tensor<float> big(Shape{200001});
  for (std::int64_t i = 0; i < big.size(); ++i) big[i] = static_cast<float>(i);
  big[7] = std::numeric_limits<float>::quiet_NaN();
  big[8] = -std::numeric_limits<float>::infinity();
  w.add("big", big);
  const test::TempFolder folder;
  w.write(folder / "big");
  const auto read = io::SafetensorsFile(folder / "big").get<double>("big");
  CHECK(read[200000] == 200000.0);
  CHECK(read[65536] == 65536.0);
  CHECK(std::isnan(read[7]));
  CHECK(read[8] == -std::numeric_limits<double>::infinity());
}

TEST_CASE("misaligned data, odd types and shapes beyond ours") {
  const std::string header =
      "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"f\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]},"
      "\"i\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[5,7]},"
      "\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[7,9]},"
      "\"r\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[9,10]},"
      "\"z\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807,4],\"data_offsets\":[10,10]}} ";
  const float value = 2.5F;
  std::string data = "x" + std::string(reinterpret_cast<const char*>(&value), 4) + std::string("\xFE\xFF", 2) + "qqr";
  const auto f = io::SafetensorsFile::from_bytes(image(header, data), "odd");
  CHECK(f.tensor<float>("f").item() == 2.5F);
  CHECK(f.get<float>("i", io::Convert::AnyNumber).item() == -2.0F);
  CHECK(f.bytes("q").size() == 2);
  CHECK(mentions(message_of<FormatError>([&] { return f.get<float>("q"); }),
                 "'q' F8_E4M3 [2]: cannot be converted to F32"));
  CHECK(mentions(message_of<FormatError>([&] { return f.get<std::uint8_t>("r"); }), "too large"));
  CHECK(mentions(message_of<FormatError>([&] { return f.get<std::uint8_t>("z"); }), "too large"));
}

TEST_CASE("missing, truncated and foreign files") {
  const test::TempFolder folder;
  CHECK(mentions(message_of<IoError>([&] { io::SafetensorsFile f(folder / "none"); }), "No such file"));
  CHECK(mentions(message_of<IoError>([&] { io::SafetensorsFile f(folder.path()); }), "it is a folder"));
  const std::string bytes = sample().to_bytes();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    io::atomic_write(folder / "cut", bytes.substr(0, n));
    const auto access = n % 2 ? io::Access::Map : io::Access::Read;
    CHECK(mentions(message_of<FormatError>([&] { io::SafetensorsFile f(folder / "cut", access); }), "cut"));
  }
  CHECK_THROWS_AS(io::SafetensorsFile::from_bytes(bytes + "x"), FormatError);
  CHECK_THROWS_AS(io::SafetensorsFile::from_bytes("PK\x03\x04 a zip archive, not tensors"), FormatError);
}

TEST_CASE("a changed byte is refused or read, never worse") {
  const std::string bytes = sample().to_bytes();
  const Stream random = stream(1, "mutate");
  int accepted = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    std::string mutant = bytes;
    for (std::uint64_t k = 0; k < 1 + i % 3; ++k) {
      const auto at =
          static_cast<std::size_t>(integer_at(random, 8 * i + 2 * k, static_cast<std::int64_t>(bytes.size())));
      mutant[at] = static_cast<char>(bits_at(random, 8 * i + 2 * k + 1));
    }
    try {
      const auto f = io::SafetensorsFile::from_bytes(mutant);
      for (const std::string& name : f.names()) (void)f.get<double>(name, io::Convert::AnyNumber);
      ++accepted;
    } catch (const Error&) {
    }
  }
  CHECK(accepted < 4000);
}

TEST_CASE("a checkpoint of another architecture") {
  const auto f = io::SafetensorsFile::from_bytes(sample().to_bytes(), "other.safetensors");
  io::NamedShapes own;
  for (const std::string& name : f.names()) own.emplace_back(name, f.shape(name));
  CHECK_NOTHROW(f.require_exactly(own));
  const std::string text = message_of<FormatError>([&] {
    f.require_exactly({{"weight", {3, 3}}, {"half", {2}}, {"conv.weight", {1}}, {"conv.bias", {1}}});
  });
  CHECK(mentions(text, "checkpoint 'other.safetensors' is of another architecture: 4 tensors expected, 8 there"));
  CHECK(mentions(text, "2 missing (first: 'conv.weight')"));
  CHECK(mentions(text, "1 of another shape (first: 'weight' is F32 [2, 3] instead of [3, 3])"));
  CHECK(mentions(text, "6 not expected (first: 'brain')"));
}

TEST_CASE("bytes need a file in memory") {
  const test::TempFolder folder;
  sample().write(folder / "s");
  CHECK_THROWS_AS((void)io::SafetensorsFile(folder / "s").bytes("bytes"), OptionError);
  io::SafetensorsFile a(folder / "s", io::Access::Map);
  const io::SafetensorsFile b = std::move(a);
  CHECK(b.bytes("bytes")[2] == 255);
}
