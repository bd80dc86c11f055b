// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/reward_models.hpp>

#include <hypersd/io/file.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/ops/random.hpp>

#include <doctest/doctest.h>

#include <string>

#include <temp_folder.hpp>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

const nn::BlipConfig small{.image_size = 12,
                           .patch_size = 4,
                           .image_channels = 16,
                           .image_layers = 2,
                           .image_heads = 4,
                           .image_mlp = 20,
                           .vocabulary = 20,
                           .max_length = 9,
                           .channels = 12,
                           .layers = 2,
                           .heads = 3,
                           .mlp = 18};

template <class M>
void add_all(io::SafetensorsWriter& writer, const M& net, const std::string& prefix = "") {
  for (const auto& [name, value] : nn::state_dict(net, prefix)) writer.add(name, value);
}

}  // namespace

TEST_CASE("image reward: the checkpoint's names load; its head scores the state of the first token") {
  const test::TempFolder folder;
  // BLIP's weights and values are transformers', under the names of the checkpoint.
  const io::SafetensorsFile golden(std::string(HYPERSD_TEST_DATA) + "/image_reward.safetensors");
  nn::ImageRewardHead<float> head(nn::ScoreHeadConfig{12});
  nn::init_parameters(head, 4);
  const auto write = [&](const std::string& name, const std::string& without = "", const std::string& extra = "") {
    io::SafetensorsWriter writer;
    for (const std::string& key : golden.names())
      if (key.starts_with("param.") && key != without) writer.add("blip." + key.substr(6), golden.get<float>(key));
    add_all(writer, head);
    for (const char* unused : {"blip.vision_proj.weight", "blip.text_proj.bias"})
      writer.add(unused, Tensor<float>::ones(Shape{3}));
    writer.add("blip.text_encoder.embeddings.position_ids", Tensor<std::int64_t>::from({1, 2}, {0, 1}));
    if (!extra.empty()) writer.add(extra, Tensor<float>::ones(Shape{3}));
    writer.write(folder / name);
    return folder / name;
  };
  const auto net = sd::load_image_reward<float>(write("ImageReward.safetensors"), small);
  const autograd::NoGrad guard;
  const Var<float> pixels(ops::nchw_to_nhwc(golden.get<float>("pixels")));
  const auto got = net(pixels, {{2, 7, 11, 5, 3}, {2, 4, 3}}).value();
  const auto want = head.fold()(Var<float>(golden.get<float>("first"))).value();
  for (std::int64_t b = 0; b < 2; ++b) CHECK(got[b] == doctest::Approx(want[b]).epsilon(1e-4));
  CHECK(got[0] != doctest::Approx(got[1]).epsilon(1e-6));
  auto handles = net;
  for (const auto& p : nn::parameters(handles)) CHECK_FALSE(p.var.requires_grad());

  const std::string lacking = write("lacking.safetensors", "param.visual_encoder.cls_token");
  CHECK_THROWS_WITH_AS(sd::load_image_reward<float>(lacking, small), doctest::Contains("visual_encoder.cls_token"),
                       FormatError);
  const std::string more = write("more.safetensors", "", "blip.queue");
  CHECK_THROWS_WITH_AS(sd::load_image_reward<float>(more, small), doctest::Contains("'blip.queue'"), FormatError);
  CHECK_THROWS_WITH_AS(sd::load_image_reward<float>(folder / "ImageReward.safetensors"),
                       doctest::Contains("ImageReward.safetensors"), FormatError);
  io::atomic_write(folder / "ImageReward.pt", "PK");
  CHECK_THROWS_WITH_AS(sd::load_image_reward<float>(folder / "ImageReward.pt"), doctest::Contains("pickle"),
                       FormatError);
}

TEST_CASE("image reward: sizes are read from the tensors") {
  const test::TempFolder folder;
  const nn::BlipConfig want{.image_size = 24,
                            .patch_size = 8,
                            .image_channels = 128,
                            .image_layers = 2,
                            .image_heads = 2,
                            .image_mlp = 20,
                            .vocabulary = 30,
                            .max_length = 11,
                            .channels = 64,
                            .layers = 3,
                            .heads = 1,
                            .mlp = 18};
  nn::ImageReward<float> net(want);
  nn::init_parameters(net, 7);
  const auto write = [&](const char* name, const std::string& changed = "", const Shape& shape = {}) {
    io::SafetensorsWriter writer;
    for (const auto& [key, value] : nn::state_dict(net))
      if (key != changed) writer.add(key, value);
    if (shape.rank() > 0) writer.add(changed, Tensor<float>::ones(shape));
    writer.write(folder / name);
    return folder / name;
  };
  const auto read = sd::load_image_reward<float>(write("a.safetensors"));
  const autograd::NoGrad guard;
  const Var<float> pixels(ops::normal<float>(Shape{2, 30, 20, 3}, stream(3, "pixels")));
  const std::vector<std::vector<std::int32_t>> ids{{2, 29, 3}, {2, 1, 1, 4, 3}};
  CHECK(read(pixels, ids).value().to_vector() == net(pixels, ids).value().to_vector());
  const auto refused = [&](const std::string& file, const char* words) {
    CHECK_THROWS_WITH_AS(sd::load_image_reward<float>(file), doctest::Contains(words), FormatError);
  };
  refused(write("b.safetensors", "blip.visual_encoder.pos_embed"), "no tensor 'blip.visual_encoder.pos_embed'");
  refused(write("c.safetensors", "blip.visual_encoder.pos_embed", Shape{1, 9, 128}), "9 positions are no square");
  refused(write("d.safetensors", "blip.text_encoder.embeddings.word_embeddings.weight", Shape{30, 65}), "width of 65");
  refused(write("e.safetensors", "blip.visual_encoder.patch_embed.proj.weight", Shape{128, 3}), "has shape");
}

TEST_CASE("aesthetic reward: a folder of CLIP and the head's file load, and errors name them") {
  const test::TempFolder folder;
  std::filesystem::create_directories(folder / "clip");
  io::atomic_write(folder / "clip/config.json",
                   R"({"image_size": 8, "patch_size": 4, "hidden_size": 8, "num_hidden_layers": 1, "hidden_act":
                   "quick_gelu", "num_attention_heads": 2, "intermediate_size": 12, "projection_dim": 6})");
  nn::ImageEncoder<float> clip(nn::ImageEncoderConfig{
      .image_size = 8, .patch_size = 4, .channels = 8, .layers = 1, .heads = 2, .mlp_channels = 12, .projection = 6});
  nn::AestheticHead<float> head(nn::ScoreHeadConfig{6});
  nn::init_parameters(clip, 1);
  nn::init_parameters(head, 2);
  io::SafetensorsWriter model, scores;
  add_all(model, clip);
  model.add("text_projection.weight", Tensor<float>::ones({2, 2}));  // of the whole CLIP model
  model.write(folder / "clip/model.safetensors");
  add_all(scores, head);
  scores.write(folder / "head.safetensors");
  const auto reward = sd::load_aesthetic<float>(folder / "clip", folder / "head.safetensors");
  const autograd::NoGrad guard;
  const Var<float> pixels(ops::normal<float>(Shape{3, 10, 9, 3}, stream(1, "pixels")));
  CHECK(reward(pixels).value().to_vector() == head(clip(nn::clip_pixels(pixels, 8))).value().to_vector());
  CHECK_THROWS_WITH_AS(sd::load_aesthetic<float>(folder / "clip", folder / "clip/model.safetensors"),
                       doctest::Contains("clip/model.safetensors"), FormatError);
  CHECK_THROWS_WITH_AS(sd::load_aesthetic<float>(folder / "clip", folder / "head.pth"), doctest::Contains("pickle"),
                       FormatError);
  CHECK_THROWS_AS(sd::load_aesthetic<float>(folder / "none", folder / "head.safetensors"), IoError);
}
