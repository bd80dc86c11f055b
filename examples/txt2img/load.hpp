// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/pack.hpp>
#include <hypersd/stable_diffusion/load.hpp>
#include <hypersd/stable_diffusion/lora.hpp>
#include <hypersd/stable_diffusion/tiny_decoder.hpp>
#include <txt2img/draw.hpp>
#include <txt2img/inputs.hpp>

/// \file
/// What txt2img loads: checkpoint, LoRAs, ControlNets, pictures.

namespace txt2img {

/// Prints a remark to stderr.
inline void remark(const std::string& text) { std::fprintf(stderr, "hypersd_txt2img: %s\n", text.c_str()); }

/// The 16-bit type of --dtype that weights are held in.
inline std::optional<hypersd::io::DType> weight_type(const Options& o) {
  if (o.dtype == "f32") return std::nullopt;
  return o.dtype == "f16" ? hypersd::io::DType::F16 : hypersd::io::DType::BF16;
}

/// The checkpoint with its LoRAs.
template <class D>
sd::Model<float, D> load(const Options& o) {
  sd::LoadOptions options{.variant = o.variant, .config_folder = o.config, .weights = weight_type(o)};
  auto model = sd::load_model<float, D>(o.model, options);
  for (const std::string& note : model.notes) remark(note);
  for (std::size_t i = 0; i < o.loras.size(); ++i) {
    const LoraOption lora = lora_option(o.loras[i]);
    const auto applied = sd::apply_lora(
        model, lora.path, {lora.weight * o.lora_scale, "lora" + std::to_string(i), "", o.allow_unused_lora});
    std::string layers;
    for (const auto& [component, count] : applied.layers)
      layers += (layers.empty() ? "" : ", ") + std::to_string(count) + " of " + component;
    remark(lora.path + ": " + (layers.empty() ? "no layers" : "layers: " + layers));
    for (const std::string& unused : applied.unused) remark(lora.path + ": not applied: " + unused);
  }
  using hypersd::nn::MergedWeights;
  if (!o.loras.empty() && !o.unfused_lora)
    model = hypersd::nn::merge_lora(model, {}, options.weights ? MergedWeights::as_stored : MergedWeights::exact);
  return model;
}

/// What is drawn besides prompts: sizes, pictures, given noise, ControlNets, the tiny decoder.
template <class D>
sd::ImageOptions<float, D> image_options(const Options& o, const sd::Model<float, D>& model) {
  sd::ImageOptions<float, D> image;
  image.width = o.width;
  image.height = o.height;
  image.guidance_scale = o.guidance_scale.value_or(model.family == sd::Family::sdxl ? 5 : 7.5);
  image.guidance_rescale = o.guidance_rescale;
  image.guess_mode = o.guess_mode;
  image.strips = o.vae_tiling;
  image.keep_steps = o.save_steps;
  const std::int64_t factor = model.vae.downscale();
  // Image to image and control without a size: that of the (first) picture.
  const std::string& like = !o.init_image.empty() ? o.init_image : o.control_images.empty() ? "" : o.control_images[0];
  if (!like.empty() && o.width == 0 && o.height == 0) {
    const auto picture = hypersd::io::read_png(like);
    image.width = picture.width / factor * factor;
    image.height = picture.height / factor * factor;
  }
  const sd::SizePair size = sd::image_size(model, image);
  if (!o.init_image.empty()) {
    const auto picture = hypersd::io::to_tensor(read_picture(o.init_image, size[1], size[0]));
    image.init_image = picture.reshape({1, size[0], size[1], 3}).template to<D>();
  }
  for (std::size_t i = 0; i < o.controlnets.size(); ++i) {
    sd::Notes notes;
    const auto net = sd::load_controlnet<float, D>(o.controlnets[i],
                                                   {.variant = o.control_variant, .weights = weight_type(o)}, &notes);
    for (const std::string& note : notes) remark(note);
    image.controls.push_back({net, control_picture(o.control_images[i], size[1], size[0], o.canny).template to<D>(),
                              o.control_scales[i], o.control_starts[i], o.control_ends[i]});
  }
  if (!o.tiny_decoder.empty()) image.tiny_decoder = sd::load_tiny_decoder<float, D>(o.tiny_decoder);
  const auto samples = static_cast<std::int64_t>(o.prompts.size()) * o.images_per_prompt;
  const Shape shape{samples, size[0] / factor, size[1] / factor, model.unet.config().in_channels};
  if (!o.latents.empty()) image.latents = read_latents(o.latents, shape).template to<D>();
  if (!o.noise.empty())
    for (const auto& draw : read_noise(o.noise, shape)) image.noise.push_back(draw.template to<D>());
  return image;
}

/// Packs all weights once, in place of what the networks hold.
template <class D>
void pack(sd::Model<float, D>& model, sd::ImageOptions<float, D>& image) {
  hypersd::nn::pack_weights(model);
  for (auto& control : image.controls) hypersd::nn::pack_weights(control.net);
  if (image.tiny_decoder) hypersd::nn::pack_weights(*image.tiny_decoder);
}

}  // namespace txt2img
