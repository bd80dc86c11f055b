// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/formats/weight_files.hpp>

#include <hypersd/io/formats/diffusers_names.hpp>
#include <hypersd/io/safetensors_writer.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
namespace formats = hypersd::io::formats;

namespace {

void write(const std::string& path, const std::vector<std::string>& names) {
  io::SafetensorsWriter writer;
  float value = 0;
  for (const std::string& name : names) {
    writer.add(name, Tensor<float>::from({3, 2}, {value, value + 1, value + 2, value + 3, value + 4, value + 5}));
    value += 10;
  }
  writer.write(path);
}
std::string index_of(const std::string& weight_map) {
  return R"({"metadata": {"total_size": 1}, "weight_map": )" + weight_map + "}";
}
std::string refused_index(const test::TempFolder& folder, const std::string& weight_map) {
  io::atomic_write(folder / "m.safetensors.index.json", index_of(weight_map));
  try {
    (void)formats::open_shards(folder / "m.safetensors.index.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("weight files: the wanted variant, then none, then the only other one; a single file before shards") {
  const test::TempFolder folder;
  const auto found = [&](const std::string& variant) {
    const auto path = formats::find_weights(folder.path(), "m", variant).path;
    return path.substr(folder.path().size() + 1);
  };
  CHECK_THROWS_WITH_AS(found(""), doctest::Contains("m.safetensors or its shards are needed"), IoError);
  io::atomic_write(folder / "m.bin", std::string("x"));
  CHECK_THROWS_WITH_AS(found(""), doctest::Contains("pickle"), FormatError);
  write(folder / "m.fp16-00001-of-00002.safetensors", {"a"});
  write(folder / "m_old.safetensors", {"a"});
  io::atomic_write(folder / "m.safetensors.index.fp16.json", index_of("{}"));
  CHECK(found("") == "m.safetensors.index.fp16.json");
  CHECK(found("bf16") == "m.safetensors.index.fp16.json");
  write(folder / "m.fp16.safetensors", {"a"});
  CHECK(found("fp16") == "m.fp16.safetensors");
  write(folder / "m.non_ema.safetensors", {"a"});
  CHECK_THROWS_WITH_AS(found(""), doctest::Contains("fp16, non_ema"), OptionError);
  write(folder / "m.safetensors", {"a"});
  CHECK(found("") == "m.safetensors");
  CHECK(found("bf16") == "m.safetensors");
  CHECK(found("fp16") == "m.fp16.safetensors");
  CHECK_THROWS_AS(formats::find_weights(folder / "nothing", "m"), IoError);
}

TEST_CASE("weight files: shards are one table; tensors that the index does not list stay out") {
  const test::TempFolder folder;
  write(folder / "m-1.safetensors", {"a", "b"});
  write(folder / "m-2.safetensors", {"c"});
  CHECK(refused_index(folder, R"({"a": "m-1.safetensors", "c": "m-2.safetensors"})") == "accepted");
  const auto table = formats::open_weights({folder / "m.safetensors.index.json", "", true});
  CHECK(table.names() == std::vector<std::string>{"a", "c"});
  CHECK(table.get<double>("c")[5] == 5);
  CHECK(table.dtype("c") == io::DType::F32);
}

TEST_CASE("weight files: an index names files of its own folder and tensors that are there") {
  const test::TempFolder folder;
  write(folder / "m-1.safetensors", {"a"});
  for (const char* name : {"../m-1.safetensors", "/m-1.safetensors", "x/m-1.safetensors", "x\\\\m-1.safetensors", "..",
                           ".", "", "m\\u0000"})
    CHECK(refused_index(folder, R"({"a": ")" + std::string(name) + "\"}").find("is not a plain file name") !=
          std::string::npos);
  CHECK(refused_index(folder, R"({"a": 3})").find("tensor 'a' is not a file name") != std::string::npos);
  CHECK(refused_index(folder, R"({"a": "m-1.bin"})").find("pickle") != std::string::npos);
  CHECK(refused_index(folder, R"({"b": "m-1.safetensors"})").find("tensor 'b' is not in its shard") !=
        std::string::npos);
  CHECK(refused_index(folder, R"({"a": "m-9.safetensors"})").find("m-9.safetensors': No such file") !=
        std::string::npos);
  CHECK(refused_index(folder, "{}").find("weight_map is empty") != std::string::npos);
  CHECK(refused_index(folder, "[]").find("an object 'weight_map'") != std::string::npos);
}

TEST_CASE("tensor table: parts of rows, transposed matrices, renamed and mapped names") {
  const test::TempFolder folder;
  write(folder / "m.safetensors", {"x.fused", "x.other", "y"});
  const formats::TensorTable all(folder / "m.safetensors");
  const auto table = all.with_prefix("x.");
  CHECK(table.names() == std::vector<std::string>{"fused", "other"});
  const auto mapped = table.mapped({"q", "k", "t", "absent"}, [](const std::string& name) {
    formats::StoredTensor stored{"fused"};
    if (name == "absent") return std::optional<formats::StoredTensor>();
    if (name == "t")
      stored = {"other", 0, 1, true};
    else
      stored = {"fused", name == "q" ? 0 : 2, 3};
    return std::optional(stored);
  });
  CHECK(mapped.names() == std::vector<std::string>{"k", "q", "t"});
  CHECK(mapped.shape("k") == Shape{1, 2});
  CHECK(mapped.get<float>("k").to_vector() == std::vector<float>{4, 5});
  CHECK(mapped.get<double>("q").to_vector() == std::vector<double>{0, 1});
  CHECK(mapped.shape("t") == Shape{2, 3});
  CHECK(mapped.get<float>("t").to_vector() == std::vector<float>{10, 12, 14, 11, 13, 15});
  CHECK(mapped.origin("k").find("tensor 'x.fused' F32 [3, 2]") != std::string::npos);

  const auto renamed = all.renamed(
      [](const std::string& name) { return name == "y" ? std::optional<std::string>() : std::optional(name + "!"); });
  CHECK(renamed.names() == std::vector<std::string>{"x.fused!", "x.other!"});
  CHECK_THROWS_WITH_AS(all.renamed([](const std::string&) { return std::optional<std::string>("z"); }),
                       doctest::Contains("are both 'z'"), FormatError);
  formats::TensorTable twice = all;
  CHECK_THROWS_WITH_AS(twice.add_file(folder / "m.safetensors"), doctest::Contains("is in two files"), FormatError);
  CHECK_THROWS_AS(all.get<float>("nothing"), FormatError);
}

TEST_CASE("diffusers names: older and newer spellings") {
  CHECK(*formats::autoencoder_name("encoder.mid_block.attentions.0.query.weight") ==
        "encoder.mid_block.attentions.0.to_q.weight");
  CHECK(*formats::autoencoder_name("decoder.mid_block.attentions.0.proj_attn.bias") ==
        "decoder.mid_block.attentions.0.to_out.0.bias");
  CHECK(*formats::autoencoder_name("decoder.mid_block.attentions.0.to_k.bias") ==
        "decoder.mid_block.attentions.0.to_k.bias");
  CHECK(*formats::autoencoder_name("decoder.key.bias") == "decoder.key.bias");
  CHECK(*formats::text_encoder_name("final_layer_norm.weight") == "text_model.final_layer_norm.weight");
  CHECK(*formats::text_encoder_name("text_model.final_layer_norm.weight") == "text_model.final_layer_norm.weight");
  CHECK(*formats::text_encoder_name("text_projection.weight") == "text_projection.weight");
  CHECK_FALSE(formats::text_encoder_name("text_model.embeddings.position_ids").has_value());
}

TEST_CASE("tensor table: tensors of 16 bits as they are stored, in the mapped file where that is possible") {
  const test::TempFolder folder;
  const auto rows =
      Tensor<half>::from({4, 2}, {half(1), half(-2), half(3), half(4), half(5), half(6), half(7), half(8)});
  io::SafetensorsWriter writer;
  writer.add("a", rows);
  writer.add("b", Tensor<bfloat16>::from({3}, {bfloat16(1), bfloat16(2), bfloat16(3)}));
  writer.add("c", Tensor<float>::from({2}, {1.0F + 0x1p-9F, 1.0F + 0x1.cp-7F}));
  writer.add("large", Tensor<float>::full(Shape{1}, 65520.0F));  // the first number that half has not
  writer.write(folder / "m.safetensors");
  const auto values = [](const ConstantTensor& t) {
    std::vector<float> out;
    for (std::int64_t i = 0; i < t.size(); ++i) {
      half h;
      bfloat16 b;
      h.bits = b.bits = t.bits()[i];
      out.push_back(t.is_half() ? h : b);
    }
    return out;
  };
  ConstantTensor a;
  {
    const formats::TensorTable table(folder / "m.safetensors", io::Access::Map);
    a = table.narrow("a");
    CHECK(a.bits() == table.narrow("a").bits());
    CHECK(a.bits() != table.narrow("a", true).bits());
    CHECK(values(table.narrow("a", true)) == values(a));
    CHECK(values(table.narrow("b")) == std::vector<float>{1, 2, 3});
    CHECK_FALSE(table.narrow("b").is_half());
    CHECK_FALSE(table.narrow("c").defined());
    CHECK(table.get<float>("a").to_vector() == values(a));
    const auto parts = table.mapped({"lower", "turned"}, [](const std::string& name) {
      return std::optional(name == "lower" ? formats::StoredTensor{"a", 1, 2, false}
                                           : formats::StoredTensor{"a", 0, 1, true});
    });
    CHECK(parts.narrow("lower").bits() == a.bits() + 4);
    CHECK(parts.narrow("lower").shape() == Shape{2, 2});
    CHECK(values(parts.narrow("lower", true)) == std::vector<float>{5, 6, 7, 8});
    CHECK(values(parts.narrow("turned")) == std::vector<float>{1, 3, 5, 7, -2, 4, 6, 8});
    CHECK_FALSE(formats::TensorTable(folder / "m.safetensors").narrow("a").defined());
    // Rounded: in the type that is asked for, a copy unless it is stored in that. bfloat16 has 1 + i 2^-7 near 1.
    const auto rounded = table.rounded(io::DType::BF16);
    CHECK(values(rounded.narrow("a")) == values(a));
    CHECK_FALSE(rounded.narrow("a").is_half());
    CHECK(rounded.narrow("b").bits() == table.narrow("b").bits());
    CHECK(values(rounded.narrow("c")) == std::vector<float>{1, 1.0F + 0x1p-6F});
    CHECK(values(rounded.mapped({"x"}, [](const std::string&) { return std::optional(formats::StoredTensor{"c"}); })
                     .narrow("x")) == std::vector<float>{1, 1.0F + 0x1p-6F});
    CHECK(values(formats::TensorTable(folder / "m.safetensors").rounded(io::DType::F16).narrow("c")) ==
          std::vector<float>{1.0F + 0x1p-9F, 1.0F + 0x1.cp-7F});
    CHECK_THROWS_WITH_AS(table.rounded(io::DType::F16).narrow("large"), doctest::Contains("'large'"), FormatError);
    CHECK_THROWS_AS(table.rounded(io::DType::F32), OptionError);
  }
  CHECK(values(a) == std::vector<float>{1, -2, 3, 4, 5, 6, 7, 8});  // the tensor keeps the file

  // A header of odd length: nothing is aligned.
  std::string header = R"({"a":{"dtype":"F16","shape":[4,2],"data_offsets":[0,16]}})";
  if (header.size() % 2 == 0) header += ' ';
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  bytes += header + std::string(reinterpret_cast<const char*>(rows.data()), 16);
  io::atomic_write(folder / "odd.safetensors", bytes);
  const formats::TensorTable odd(folder / "odd.safetensors", io::Access::Map);
  CHECK(values(odd.narrow("a")) == values(a));
  CHECK(odd.narrow("a").bits() != odd.narrow("a").bits());
}
