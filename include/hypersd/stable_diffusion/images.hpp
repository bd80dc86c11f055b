// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <hypersd/core/progress.hpp>
#include <hypersd/core/torch_random.hpp>
#include <hypersd/nn/models/tiny_autoencoder.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/stable_diffusion/controlled_unet.hpp>
#include <hypersd/stable_diffusion/model.hpp>
#include <memory>
#include <optional>
#include <vector>

/// \file
/// What a run of `draw_images` is given and gives.

namespace hypersd::stable_diffusion {

/// Gives the random numbers of a run, tensors of a shape [N, h, w, C]; `draw` counts from 0 on. Latents, the
/// autoencoder's noise and the solver's are drawn in the order in which they are used.
template <Scalar T, Device D = Cpu>
using NoiseSource = std::function<Tensor<T, D>(const Shape& shape, std::int64_t draw)>;

/// Numbers of Philox's streams: the same on every device.
template <Scalar T, Device D = Cpu>
NoiseSource<T, D> philox_noise(std::uint64_t seed) {
  return [seed](const Shape& shape, std::int64_t draw) {
    return ops::normal<T, D>(shape, stream(seed, "text to image", static_cast<std::uint64_t>(draw)));
  };
}

/// Numbers of `torch.Generator("cpu").manual_seed(seed)` in the order of diffusers' pipelines. Copies share its state.
template <Scalar T, Device D = Cpu>
NoiseSource<T, D> torch_noise(std::uint64_t seed) {
  const auto generator = std::make_shared<TorchGenerator>(seed);
  return [generator](const Shape& s, std::int64_t) {
    const auto nchw = generator->normal(Shape{s[0], s[3], s[1], s[2]});
    return ops::nchw_to_nhwc(nchw).template cast<T>().template to<D>();
  };
}

/// What a run draws besides its prompts. Tensors are channels last.
template <Scalar T, Device D = Cpu>
struct ImageOptions {
  std::int64_t height = 0, width = 0;  ///< pixels, multiples of the autoencoder's factor (8); 0: the checkpoint's size
  double guidance_scale = 7.5;         ///< classifier-free guidance, off up to 1
  double guidance_rescale = 0;         ///< see `diffusion::ClassifierFree`
  std::vector<Control<T, D>> controls;
  bool guess_mode = false;            ///< see `ControlledUnet`
  Tensor<T, D> latents{};             ///< initial noise of unit variance [N, h, w, C]; undefined: from the source
  std::vector<Tensor<T, D>> noise{};  ///< the solver's draws; empty: from the source
  Tensor<T, D> init_image{};          ///< [1, H, W, 3] in [-1, 1]: image to image, with the later part of the plan
  bool strips = false;                ///< encode and decode in strips of rows
  std::optional<nn::TinyDecoder<T, D>> tiny_decoder{};  ///< instead of the autoencoder's decoder
  Progress progress{};                                  ///< phases `encode`, `sample`, `decode`
  bool keep_steps = false;                              ///< fill `Images::steps`
};

/// The result of a run.
template <Scalar T, Device D = Cpu>
struct Images {
  Tensor<T, D> latents;             ///< [N, h, w, C]
  std::vector<Tensor<T, D>> steps;  ///< latents after each step, as the scheduler of that name keeps them
  Tensor<T, D> images;              ///< [N, H, W, 3] in [0, 1]
};

/// Height and width, or top and left, in pixels.
using SizePair = std::array<std::int64_t, 2>;

/// Height and width of the images: those of the options, else of the checkpoint. Throws OptionError.
template <Scalar T, Device D>
SizePair image_size(const Model<T, D>& model, const ImageOptions<T, D>& o) {
  const std::int64_t factor = model.vae.downscale(), usual = model.sample_size * factor;
  const SizePair size{o.height > 0 ? o.height : usual, o.width > 0 ? o.width : usual};
  for (const std::int64_t side : size)
    require<OptionError>(side >= factor && side % factor == 0, "image of ", size[0], " x ", size[1],
                         " pixels: both must be multiples of ", factor);
  return size;
}

/// Whether the options lead to two branches of guidance. A student that takes the weight as an input has one.
template <Scalar T, Device D>
bool is_guided(const Model<T, D>& model, const ImageOptions<T, D>& o) {
  return o.guidance_scale > 1 && model.unet.config().time_cond_proj_dim == 0;
}

}  // namespace hypersd::stable_diffusion
