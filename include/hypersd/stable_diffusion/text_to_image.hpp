// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/autoencoder_strips.hpp>
#include <hypersd/stable_diffusion/conditions.hpp>
#include <hypersd/stable_diffusion/controlled_unet.hpp>
#include <hypersd/stable_diffusion/denoise.hpp>
#include <hypersd/stable_diffusion/images.hpp>
#include <utility>
#include <vector>

/// \file
/// From prompts to pictures with a checkpoint of Stable Diffusion.

namespace hypersd::stable_diffusion {

/// (x + 1) / 2, limited to [0, 1].
struct ToUnit {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    const T y = x / T(2) + T(0.5);
    return y < T(0) ? T(0) : y > T(1) ? T(1) : y;
  }
};

namespace detail {

/// Draws in order, given ones first.
template <Scalar T, Device D>
class Draws {
 public:
  Draws(const NoiseSource<T, D>& source, const std::vector<Tensor<T, D>>& given) : source_(source), given_(given) {}
  /// A draw for latents or the autoencoder.
  Tensor<T, D> fresh(const Shape& shape) { return source_(shape, count_++); }
  /// A draw for the solver. Throws OptionError where draws are given, but too few.
  Tensor<T, D> solver(const Shape& shape) {
    if (given_.empty()) return fresh(shape);
    require<OptionError>(used_ < given_.size(), "given noise: ", given_.size(), " draws, but the solver needs more");
    require_same_shape("given noise", shape, given_[used_].shape());
    return given_[used_++];
  }

 private:
  const NoiseSource<T, D>& source_;
  const std::vector<Tensor<T, D>>& given_;
  std::int64_t count_ = 0;
  std::size_t used_ = 0;
};

/// Latents of about unit variance for the image [1, H, W, 3], sampled from the autoencoder's posterior.
template <Scalar T, Device D>
Tensor<T, D> encode_image(const nn::Autoencoder<T, D>& vae, const Tensor<T, D>& image, bool strips,
                          Draws<T, D>& draws) {
  const autograd::NoGrad guard;
  const auto posterior = strips ? nn::encode_in_strips(vae, image) : vae.encode(Var<T, D>(image));
  const auto deviation = ops::map(ops::Exp{}, autograd::affine(posterior.logvar, Accumulator<T>(0.5)).value());
  const auto noise = draws.fresh(deviation.shape());
  const auto z = ops::map(ops::Add{}, posterior.mean.value(), ops::map(ops::Mul{}, deviation, noise));
  return ops::map(ops::Affine<Accumulator<T>>{static_cast<Accumulator<T>>(vae.config.scaling_factor), 0}, z);
}

}  // namespace detail

/// Images [N, H, W, 3] in [0, 1] of latents, one after the other. Reports phase `decode`.
template <Scalar T, Device D>
Tensor<T, D> decode_images(const nn::Autoencoder<T, D>& vae, const Tensor<T, D>& latents,
                           const ImageOptions<T, D>& o = {}) {
  const autograd::NoGrad guard;
  std::vector<Tensor<T, D>> out;
  const std::int64_t count = latents.dim(0);
  notify(o.progress, {"decode", 0, count, {}, {}});
  const auto unscale = static_cast<Accumulator<T>>(1 / vae.config.scaling_factor);
  for (std::int64_t b = 0; b < count; ++b) {
    const auto one = latents.slice(b, b + 1);
    Tensor<T, D> x;
    if (o.tiny_decoder)
      x = (*o.tiny_decoder)(Var<T, D>(one)).value();
    else if (o.strips)
      x = nn::decode_in_strips(vae, ops::map(ops::Affine<Accumulator<T>>{unscale, 0}, one));
    else
      x = vae.from_latent(Var<T, D>(one)).value();
    out.push_back(ops::map(ToUnit{}, x));
    notify(o.progress, {"decode", b + 1, count, {}, {}});
  }
  return out.size() == 1 ? out[0] : ops::concat_first(out);
}

/// Draws the images of a batch along `plan` (`plan_run`). `prompts` comes from `encode_batch`, for the same size and
/// with `is_guided`. Latents are given and returned in the units of diffusers' scheduler: those of Euler and Heun are x
/// / alpha. Throws OptionError and ShapeError for inputs that do not fit.
template <Scalar T, Device D>
Images<T, D> draw_images(const Model<T, D>& model, const PromptBatch<T, D>& prompts, const RunPlan& plan,
                         const NoiseSource<T, D>& source, const ImageOptions<T, D>& o = {}) {
  const autograd::NoGrad guard;
  const SizePair size = image_size(model, o);
  const std::int64_t factor = model.vae.downscale(), samples = prompts.positive.states.dim(0);
  const Shape shape{samples, size[0] / factor, size[1] / factor, model.unet.config().in_channels};
  detail::Draws<T, D> draws(source, o.noise);

  Tensor<T, D> start;
  if (o.init_image.defined()) {
    require<ShapeError>(o.init_image.shape() == Shape({1, size[0], size[1], 3}), "initial image ", o.init_image.shape(),
                        " for pictures of ", size[0], " x ", size[1]);
    notify(o.progress, {"encode", 0, 1, {}, {}});
    const auto clean = detail::repeat_rows(detail::encode_image(model.vae, o.init_image, o.strips, draws), samples);
    notify(o.progress, {"encode", 1, 1, {}, {}});
    start = start_from_image(plan, clean, o.latents.defined() ? o.latents : draws.fresh(shape));
  } else {
    start = start_from_noise(plan, o.latents.defined() ? o.latents : draws.fresh(shape));
  }
  require_same_shape("initial latents", shape, start.shape());

  const ControlledUnet<T, D> net(model.unet, o.controls, o.guess_mode, samples,
                                 static_cast<std::int64_t>(plan.steps.size()));
  Images<T, D> out;
  DenoiseOptions<T, D> options;
  options.guidance = {o.guidance_scale};
  options.guidance_rescale = o.guidance_rescale;
  options.noise = [&] { return draws.solver(shape); };
  options.before = [&](std::int64_t step) { net.begin_step(step); };
  if (o.keep_steps) options.after = [&](std::int64_t, const Tensor<T, D>& x) { out.steps.push_back(x.clone()); };
  options.progress = o.progress;
  if (model.unet.config().time_cond_proj_dim > 0)
    out.latents = denoise<diffusion::EmbeddedGuidance>(plan, net, start, prompts.condition, options);
  else
    out.latents = denoise<diffusion::ClassifierFree>(plan, net, start, prompts.condition, options);
  out.images = decode_images(model.vae, out.latents, o);
  return out;
}

}  // namespace hypersd::stable_diffusion
