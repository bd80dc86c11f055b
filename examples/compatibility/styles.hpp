// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fashion/finished_run.hpp>

#include <hypersd/data/canny.hpp>

/// \file
/// Other base models: the teacher fine-tuned on pictures of another style, on which the adapter is used as it is.
/// [Hyper-SD Sec. C.5]

namespace compatibility {

using namespace fashion;

struct Style {
  std::string name;
  std::function<Tensor<float>(const Tensor<float>&)> apply;
};

/// Black on white, and grey with bright outlines.
inline std::vector<Style> styles() {
  return {{"inverted",
           [](const Tensor<float>& x) {
             return ops::map(ops::Affine<float>{-1, 0}, x);
           }},
          {"outlined", [](const Tensor<float>& x) {
             const auto edges = data::canny(x);
             Tensor<float> out(x.shape());
             for (std::int64_t i = 0; i < x.size(); ++i) out[i] = edges[i] != 0 ? 1.0F : -1 + 0.4F * (x[i] + 1);
             return out;
           }}};
}

/// The data set with every picture's bytes changed by `f(picture [1, H, W, C] in [-1, 1])`.
template <class F>
Dataset styled(Dataset data, F&& f) {
  for (data::ImageSet* set : {&data.images.train, &data.images.test}) {
    Tensor<std::uint8_t> pixels(set->pixels().shape());
    for (std::int64_t b = 0; b < set->size(); b += 500) {
      const std::int64_t end = std::min(set->size(), b + 500);
      const Tensor<float> changed = f(set->images(b, end));
      auto to = pixels.slice(b, end);
      for (std::int64_t i = 0; i < changed.size(); ++i)
        to[i] = static_cast<std::uint8_t>(std::lround(std::clamp((changed[i] + 1) * 127.5F, 0.0F, 255.0F)));
    }
    *set = data::ImageSet(pixels, set->labels(), set->classes());
  }
  return data;
}

/// Latents of other pictures in the units of the base model's.
template <Device D>
Latents<D> encode_like(const FinishedRun<D>& base, const Latents<D>& units, const data::ImageSet& images) {
  Latents<D> out = encode_all(base.autoencoder, images);
  ops::map_into(out.values,
                ops::Affine<float>{static_cast<float>(out.scale / units.scale),
                                   static_cast<float>((out.shift - units.shift) / units.scale)},
                out.values);
  out.shift = units.shift, out.scale = units.scale;
  return out;
}

/// The base model's UNet fine-tuned on a style; its text encoder stays.
template <Device D>
Teacher<D> train_style(const Run& run, const Dataset& data, const Latents<D>& latents, const FinishedRun<D>& base,
                       const std::string& name, std::int64_t steps) {
  Teacher<D> net{base.teacher.text, nn::deep_copy(base.teacher.unet)};
  nn::set_requires_grad(net.unet, true);
  pipeline::TrainOptions t;
  t.phase = "base model, " + name;
  t.steps = steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{5e-4, steps}, 20};
  return train_denoiser(run, data, latents, std::move(net), t);
}

}  // namespace compatibility
