// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/json.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/stable_diffusion/config.hpp>
#include <string>
#include <vector>

namespace hypersd::stable_diffusion {

/// Which generation of Stable Diffusion a model belongs to.
enum class Family {
  sd15,  ///< 1.x: one CLIP-L text encoder
  sd21,  ///< 2.x: one OpenCLIP text encoder, linear projections
  sdxl   ///< XL: two text encoders, added text and size features
};

/// `sd15`, `sd21` or `sdxl`.
inline const char* family_name(Family family) {
  return family == Family::sd15 ? "sd15" : family == Family::sd21 ? "sd21" : "sdxl";
}
/// The family of a UNet: `sdxl` with added features, `sd21` with linear projections, else `sd15`.
inline Family family_of(const nn::UnetConfig& unet) {
  if (unet.addition_embedding_dim > 0) return Family::sdxl;
  return unet.use_linear_projection ? Family::sd21 : Family::sd15;
}

/// A checkpoint of Stable Diffusion: its networks and what is needed to use them. Copies share parameters.
template <Scalar T, Device D = Cpu>
struct Model {
  using value_type = T;
  using device_type = D;

  std::string path;  ///< folder or file that the model was loaded from
  Family family = Family::sd15;
  nn::Unet<T, D> unet;
  nn::Autoencoder<T, D> vae;
  std::vector<nn::TextEncoder<T, D>> text_encoders;  ///< one, or two in SDXL
  std::vector<std::string> tokenizers;  ///< folder of each encoder's tokenizer; empty: not in the checkpoint
  io::Json scheduler;                   ///< content of `scheduler/scheduler_config.json`; null: the checkpoint has none
  std::int64_t sample_size = 64;  ///< usual height and width of latents; images are `vae.downscale()` times larger
  bool force_zeros_for_empty_prompt = true;  ///< SDXL: no negative prompt means embeddings of zero
  bool force_upcast = true;                  ///< the decoder overflows in half precision
  Notes notes;                               ///< what was ignored or replaced while loading

  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "unet", unet, "vae", vae);
    for (std::size_t i = 0; i < text_encoders.size(); ++i)
      text_encoders[i].visit(f, nn::join(prefix, i == 0 ? "text_encoder" : "text_encoder_" + std::to_string(i + 1)));
  }
};

}  // namespace hypersd::stable_diffusion
