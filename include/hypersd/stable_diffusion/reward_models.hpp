// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// Loads ImageReward from its checkpoint as safetensors; the published one has the sizes of `BlipConfig`'s defaults.
/// BLIP's projections for retrieval, which the reward does not use, are left out. Throws IoError; FormatError for a
/// pickle file and for missing or unknown tensors; ShapeError for other sizes.
template <Scalar T, Device D = Cpu>
nn::ImageReward<T, D> load_image_reward(const std::string& path, const nn::BlipConfig& config = {}) {
  io::formats::refuse_pickle(path);
  nn::ImageReward<T, D> net(config);
  const auto used = io::formats::TensorTable(path).renamed([](const std::string& name) {
    const bool unused =
        name.starts_with("blip.vision_proj.") || name.starts_with("blip.text_proj.") || name.ends_with(".position_ids");
    return unused ? std::nullopt : std::optional(name);
  });
  detail::load_reward_part(net, used, path);
  return net;
}

}  // namespace hypersd::stable_diffusion
