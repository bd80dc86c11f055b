// SPDX-License-Identifier: Apache-2.0
// seeds FOLDER GOLDENS: writes the corpora that fuzzing begins with to FOLDER/<target>/.
#include <hypersd/io/npy.hpp>
#include <hypersd/io/npz.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/io/safetensors_writer.hpp>

#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <string>

using namespace hypersd;
namespace fs = std::filesystem;

namespace {

std::string folder;

void seed(const std::string& target, const std::string& name, const std::string& bytes) {
  fs::create_directories(folder + "/" + target);
  io::atomic_write(folder + "/" + target + "/" + name, bytes);
}
std::string gzip(const std::string& bytes) {
  z_stream stream{};
  std::string out(bytes.size() + 256, '\0');
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: seeds FOLDER GOLDENS\n"), 2;
  folder = argv[1];
  for (const auto& entry : fs::directory_iterator(argv[2])) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".json") seed("json", name, io::read_file(entry.path().string()));
    if (entry.path().extension() == ".safetensors" && entry.file_size() < 20000)
      seed("safetensors", name, io::read_file(entry.path().string()));
  }
  io::SafetensorsWriter small;
  small.add("a", Tensor<float>::from({2, 2}, {1, 2, 3, 4}));
  small.add("b", Tensor<std::uint8_t>::from({3}, {1, 2, 3}));
  small.add("c", Tensor<half>(Shape{0, 7}));
  seed("safetensors", "small", small.to_bytes());
  seed("json", "kinds", R"({"a": [1, -2.5e3, true, null, {}], "\u00e9\n": "\ud83d\ude00"})");

  seed("npy", "f4", io::encode_npy(Tensor<float>::from({2, 3}, {1, 2, 3, 4, 5, 6})));
  seed("npy", "f8", io::encode_npy(Tensor<double>::from(Shape{}, {1.0})));
  seed("npy", "i4", io::encode_npy(Tensor<std::int32_t>::from({2}, {1, -1})));
  seed("npy", "i8", io::encode_npy(Tensor<std::int64_t>::from({1, 1, 1}, {7})));
  seed("npy", "u1", io::encode_npy(Tensor<std::uint8_t>::from({4}, {0, 1, 2, 255})));

  fs::create_directories(folder + "/npz");
  for (const auto compress : {io::Compress::No, io::Compress::Yes}) {
    io::NpzWriter npz(folder + "/npz/" + (compress == io::Compress::No ? "stored" : "deflated"), compress);
    npz.add("x", Tensor<float>::ones({2, 40}));
    npz.add("y", Tensor<std::uint8_t>::from({3}, {1, 2, 3}));
    npz.commit();
  }
  seed("npz", "numpy", io::read_file(argv[2] + std::string("/arrays_deflated.npz")));

  for (const int channels : {1, 3}) {
    io::Image image(5, 4, channels);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(37 * i);
    seed("png", "c" + std::to_string(channels), io::encode_png(image));
  }
  seed("png", "large", io::encode_png(io::Image(300, 200, 1, 9)));

  const std::string checkpoints = std::string(argv[2]) + "/checkpoints";
  for (const auto& entry : fs::recursive_directory_iterator(checkpoints)) {
    const std::string path = entry.path().string(), name = entry.path().filename().string();
    if (name == "config.json") {
      const char kind = path.find("text_encoder") != path.npos ? 't'
                        : path.find("vae") != path.npos        ? 'v'
                        : path.find("control") != path.npos    ? 'c'
                                                               : 'u';
      seed("config", std::to_string(std::hash<std::string>{}(path)), kind + io::read_file(path));
    }
    if (name == "adapter_config.json") seed("lora", name, io::read_file(path));
    if (name.find(".index.") != std::string::npos && entry.file_size() < 20000)
      seed("shards", name, io::read_file(path));
  }
  seed("shards", "small", R"({"metadata": {"total_size": 1}, "weight_map": {"a": "m-1.safetensors", "b": "../x"}})");
  for (const char* layer : {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_",
                            "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q.lora_"}) {
    io::SafetensorsWriter lora;
    lora.add(std::string(layer) + "down.weight", Tensor<float>::full(Shape{1, 4}, 0.5F));
    lora.add(std::string(layer) + "up.weight", Tensor<half>::full(Shape{4, 1}, half(0.5F)));
    seed("lora", layer, lora.to_bytes());
  }
  io::SafetensorsWriter conv;
  conv.add("unet.conv_in.lora_A.weight", Tensor<float>::full(Shape{1, 4, 3, 3}, 0.5F));
  conv.add("unet.conv_in.lora_B.weight", Tensor<float>::full(Shape{4, 1, 1, 1}, 0.5F));
  conv.metadata["lora_adapter_metadata"] = R"({"unet.lora_alpha": 2, "unet.alpha_pattern": {"conv_in": 3}})";
  seed("lora", "conv", conv.to_bytes());

  const std::string head("\0\0\x08\x02\0\0\0\x02\0\0\0\x03", 12);
  seed("idx", "bytes", "u" + head + "abcdef");
  seed("idx", "gzip", "u" + gzip(head + "abcdef"));
  seed("idx", "int", "i" + std::string("\0\0\x0C\x01\0\0\0\x01\0\0\0\x05", 12));
  seed("idx", "float", "f" + std::string("\0\0\x0D\x01\0\0\0\x01\x3F\x80\0\0", 12));

  seed("clip", "words", "pA photo of\t1 aabaab's <|endoftext|>!! <|EndOfText|>");
  seed("clip", "unicode", "pe\xCC\x81 \xEA\xB0\xB8\xE1\x86\xA7 \xF0\x9F\x98\x80\xC4\xB0 q\xCC\x87\xCC\xA3");
  seed("clip", "json",
       R"(j{"added_tokens": [{"id": 5, "content": "<|endoftext|>", "normalized": false}, {"id": 4, "content":
      "<|startoftext|>"}], "model": {"type": "BPE", "unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>", "vocab":
      {"a": 0, "t</w>": 1, "at</w>": 2, "c": 3}, "merges": [["a", "t</w>"]]}})");
  seed("clip", "bert", "wA photo aabing\t[SEP]x \xC3\x86 e\xCC\x81!\xE7\x8C\xAB");
  seed("clip", "bert vocabulary", "v[CLS]\n[SEP]\n[UNK]\na\n##t\r\n");
  seed("clip", "bert json", R"(b{"added_tokens": [{"id": 0, "content": "[CLS]"}], "normalizer": {"type":
      "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": {"type": "WordPiece", "unk_token": "u",
      "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": {"[SEP]": 1, "u": 2}}})");
  seed("clip", "merges", "m#version: 0.2\na t</w>\nc at</w>\n");

  seed("scheduler", "sd15",
       "\x85"
       R"({"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
      "beta_end": 0.012, "clip_sample": false, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1})");
  seed("scheduler", "v",
       "\x02"
       R"({"num_train_timesteps": 100, "prediction_type": "v_prediction", "rescale_betas_zero_snr": true,
      "timestep_spacing": "trailing", "use_karras_sigmas": true, "final_sigmas_type": "sigma_min", "lambda_min_clipped":
      -Infinity, "clip_sample": true, "clip_sample_range": 0.5, "original_inference_steps": 10})");
  seed("scheduler", "cosine",
       "\x09"
       R"({"num_train_timesteps": 50, "beta_schedule": "squaredcos_cap_v2", "prediction_type":
      "sample", "timestep_spacing": "linspace", "timestep_scaling": 3.5, "lower_order_final": false})");

  const std::string coco = R"({"info": {}, "categories": [{"id": 7, "name": "cup"}], "images": [{"id": 5, "height": 4,
      "width": 6, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 5, "category_id": 7, "segmentation": )";
  seed("coco", "polygon", coco + "[[1, 1, 4, 1, 4.5, 3, 1, 3]]}]}");
  seed("coco", "runs", coco + R"({"size": [4, 6], "counts": [5, 2, 2, 2, 2, 2, 9]}}]})");
  seed("coco", "text", coco + R"({"size": [4, 6], "counts": "5220007"}}]})");
  return 0;
}
