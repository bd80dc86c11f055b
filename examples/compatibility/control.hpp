// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fashion/finished_run.hpp>
#include <hypersd/data/canny.hpp>
#include <hypersd/diffusion/denoising.hpp>
#include <hypersd/nn/models/controlnet.hpp>

/// \file
/// A ControlNet on edge maps, trained on the teacher and used with any student. [Hyper-SD Sec. 4.3]

namespace compatibility {

using namespace fashion;

template <Device D>
using Control = nn::ControlNet<float, D>;

/// A UNet under control of pictures [B, H, W, 1]: a denoiser like any other.
template <Device D>
struct Controlled {
  using value_type = float;
  using device_type = D;
  Net<D> unet;
  Control<D> control;
  Tensor<float, D> picture;

  Var<float, D> operator()(const Var<float, D>& x, const Tensor<float, D>& t, const Condition<D>& condition) const {
    // Guidance asks for both branches in one batch, one after the other.
    const bool both = x.dim(0) == 2 * picture.dim(0);
    const auto residuals =
        control(x, t, condition, Var<float, D>(both ? ops::concat_first(picture, picture) : picture));
    return unet(x, t, condition, &residuals);
  }
};

/// Trains a ControlNet whose encoder starts as the teacher's; the UNet stays frozen.
template <Device D>
Control<D> train_control(const Run& run, const Dataset& data, const Latents<D>& latents, const Teacher<D>& teacher,
                         std::int64_t steps) {
  const fashion::Options& o = run.options;
  nn::ControlNetConfig config;
  config.unet = teacher.unet.config();
  config.conditioning_channels = 1;
  config.embedding_channels = {16, 32, 64};  // 32 x 32 pictures to 8 x 8 latents
  Control<D> net(config);
  nn::init_parameters(net, o.seed, "controlnet");
  nn::copy_parameters(teacher.unet.encoder, net.encoder);
  nn::set_requires_grad(net, true);
  pipeline::TrainOptions t;
  t.phase = "controlnet";
  t.steps = steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{1e-3, steps}, 50};
  t.ema = optim::EmaOptions{0.995, true};
  const data::Batches batches(latents.values.dim(0), o.teacher_batch, o.seed + 7);
  run.train(t, trainable(net), [&](std::int64_t step) {
    const auto ids = batches(step);
    const auto full = data.captions(data.images.train.labels(ids));
    const auto captions = diffusion::drop_condition(full, data::Captions::null(full.dim(1)), o.condition_dropout,
                                                    stream(o.seed, "control.drop", static_cast<std::uint64_t>(step)));
    const Controlled<D> controlled{teacher.unet, net, data::canny(data.images.train.images(ids)).template to<D>()};
    return diffusion::denoising_loss(controlled, Process{}, take(latents.values, ids),
                                     Condition<D>{teacher.text(captions.template to<D>()), {}}, o.seed, step);
  });
  nn::set_requires_grad(net, false);
  return net;
}

/// F1 of two edge maps [N, H, W, 1], a hit being an edge of the other within one pixel; the mean over pictures.
inline std::vector<double> edge_agreement(const Tensor<float>& a, const Tensor<float>& b) {
  const std::int64_t h = a.dim(1), w = a.dim(2);
  const auto hits = [&](const float* from, const float* to) {
    double found = 0, all = 0;
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x) {
        if (from[y * w + x] == 0) continue;
        bool near = false;
        for (std::int64_t v = std::max<std::int64_t>(0, y - 1); v <= std::min(h - 1, y + 1); ++v)
          for (std::int64_t u = std::max<std::int64_t>(0, x - 1); u <= std::min(w - 1, x + 1); ++u)
            near = near || to[v * w + u] != 0;
        all += 1, found += near ? 1 : 0;
      }
    return std::pair{found, all};
  };
  std::vector<double> out;
  for (std::int64_t i = 0; i < a.dim(0); ++i) {
    const auto [right, mine] = hits(a.data() + i * h * w, b.data() + i * h * w);
    const auto [seen, wanted] = hits(b.data() + i * h * w, a.data() + i * h * w);
    const double precision = mine > 0 ? right / mine : 0, recall = wanted > 0 ? seen / wanted : 0;
    out.push_back(precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0);
  }
  return out;
}

}  // namespace compatibility
