// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/io/formats/weight_files.hpp>
#include <hypersd/io/json_fields.hpp>
#include <hypersd/nn/models/aesthetic_head.hpp>
#include <hypersd/nn/models/image_encoder.hpp>
#include <hypersd/nn/models/image_reward.hpp>
#include <hypersd/nn/state.hpp>
#include <optional>
#include <string>

/// \file
/// Published reward models for feedback, from their files. Loaded networks are frozen.

namespace hypersd::stable_diffusion {

/// LAION's aesthetic predictor on CLIP's image embedding: about 1 to 10.
template <Scalar T, Device D = Cpu>
struct AestheticReward {
  nn::ImageEncoder<T, D> clip;
  nn::AestheticHead<T, D> head;

  /// Pixels [B, H, W, 3] in [-1, 1] -> scores [B]. Differentiable.
  Var<T, D> operator()(const Var<T, D>& pixels) const {
    return head(clip(nn::clip_pixels(pixels, clip.config.image_size)));
  }
};

namespace detail {

/// Loads a part of a reward model and freezes it; errors begin with `label`.
template <nn::Module M, class Source>
void load_reward_part(M& net, const Source& source, const std::string& label, bool strict = true) {
  try {
    nn::load_state_dict(net, source, "", strict);
  } catch (const FormatError& error) {
    fail<FormatError>(io::in_quotes(label), ": ", error.what());
  } catch (const ShapeError& error) {
    fail<ShapeError>(io::in_quotes(label), ": ", error.what());
  }
  nn::set_requires_grad(net, false);
}

}  // namespace detail

/// Loads `clip`, the folder of a CLIPVisionModelWithProjection (the published head is for CLIP ViT-L/14; a folder of
/// the whole CLIP model will do), and `head`, LAION's head as safetensors. Throws IoError and FormatError naming file,
/// field or tensor, FormatError for a pickle file.
template <Scalar T, Device D = Cpu>
AestheticReward<T, D> load_aesthetic(const std::string& clip, const std::string& head) {
  const std::string file = clip + "/config.json";
  const io::Json json = io::read_json(file);
  io::JsonFields f(json, file);
  f.require_one_of("hidden_act", {"\"quick_gelu\"", "\"gelu\""});
  const nn::ImageEncoderConfig c{.image_size = f.whole("image_size", 224),
                                 .patch_size = f.whole("patch_size", 32),
                                 .channels = f.whole("hidden_size", 768),
                                 .layers = f.whole("num_hidden_layers", 12),
                                 .heads = f.whole("num_attention_heads", 12),
                                 .mlp_channels = f.whole("intermediate_size", 3072),
                                 .projection = f.whole("projection_dim", 512),
                                 .quick_gelu = f.text("hidden_act", "quick_gelu") == "quick_gelu"};
  io::formats::refuse_pickle(head);
  AestheticReward<T, D> out{nn::ImageEncoder<T, D>(c), nn::AestheticHead<T, D>(nn::ScoreHeadConfig{c.projection})};
  detail::load_reward_part(out.clip, io::formats::open_weights(io::formats::find_weights(clip, "model", "")), clip,
                           false);
  detail::load_reward_part(out.head, io::SafetensorsFile(head), head);
  return out;
}

/// The sizes of an ImageReward by the shapes of its tensors, with heads of 64 channels as in ViT-L/16 and BERT-base.
/// `label` names the file. Throws FormatError for a tensor that is missing or of another kind.
inline nn::BlipConfig blip_config(const io::formats::TensorTable& table, const std::string& label) {
  const auto shape = [&](const std::string& name, int rank) {
    require<FormatError>(table.contains(name), io::in_quotes(label), ": no tensor ", io::in_quotes(name),
                         ", which ImageReward has");
    const Shape s = table.shape(name);
    require<FormatError>(s.rank() == rank, io::in_quotes(label), ": tensor ", io::in_quotes(name), " has shape ", s);
    return s;
  };
  const auto layers = [&](const std::string& prefix, const std::string& suffix) {
    std::int64_t n = 0;
    while (table.contains(prefix + std::to_string(n) + suffix)) ++n;
    return n;
  };
  const auto heads = [&](std::int64_t width) {
    require<FormatError>(width > 0 && width % 64 == 0, io::in_quotes(label), ": a width of ", width,
                         " is no multiple of the 64 channels of a head");
    return width / 64;
  };
  const std::string image = "blip.visual_encoder.", text = "blip.text_encoder.";
  const Shape patch = shape(image + "patch_embed.proj.weight", 4), positions = shape(image + "pos_embed", 3),
              words = shape(text + "embeddings.word_embeddings.weight", 2);
  nn::BlipConfig c;
  c.patch_size = patch[3];
  c.image_channels = patch[0];
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(positions[1] - 1))));
  require<FormatError>(side >= 1 && side * side + 1 == positions[1], io::in_quotes(label), ": ", positions[1],
                       " positions are no square of patches and a class token");
  c.image_size = side * c.patch_size;
  c.image_heads = heads(c.image_channels);
  c.image_layers = layers(image + "blocks.", ".norm1.weight");
  c.image_mlp = shape(image + "blocks.0.mlp.fc1.weight", 2)[0];
  c.vocabulary = words[0];
  c.channels = words[1];
  c.heads = heads(c.channels);
  c.max_length = shape(text + "embeddings.position_embeddings.weight", 2)[0];
  c.layers = layers(text + "encoder.layer.", ".output.dense.weight");
  c.mlp = shape(text + "encoder.layer.0.intermediate.dense.weight", 2)[0];
  return c;
}

/// Loads ImageReward from its checkpoint as safetensors, with the sizes of `blip_config` unless `config` is given.
/// BLIP's projections for retrieval, which the reward does not use, are left out. Throws IoError; FormatError for a
/// pickle file and for missing or unknown tensors; ShapeError for other sizes.
template <Scalar T, Device D = Cpu>
nn::ImageReward<T, D> load_image_reward(const std::string& path, std::optional<nn::BlipConfig> config = {}) {
  io::formats::refuse_pickle(path);
  const auto used = io::formats::TensorTable(path).renamed([](const std::string& name) {
    const bool unused =
        name.starts_with("blip.vision_proj.") || name.starts_with("blip.text_proj.") || name.ends_with(".position_ids");
    return unused ? std::nullopt : std::optional(name);
  });
  nn::ImageReward<T, D> net(config ? *config : blip_config(used, path));
  detail::load_reward_part(net, used, path);
  return net;
}

}  // namespace hypersd::stable_diffusion
