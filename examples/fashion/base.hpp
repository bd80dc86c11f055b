// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "data.hpp"
#include "denoiser.hpp"
#include "run.hpp"

#include <hypersd/autograd/grad_softmax.hpp>
#include <hypersd/diffusion/condition_dropout.hpp>
#include <hypersd/diffusion/denoising.hpp>
#include <hypersd/nn/autoencoder_loss.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/classifier.hpp>
#include <hypersd/nn/models/text_encoder.hpp>

/// \file
/// The networks that exist before any distillation: autoencoder, evaluation classifier, text encoder and teacher.

namespace fashion {

/// The share of the training set that the evaluation classifier sees.
inline constexpr std::int64_t classifier_images = 30000;

/// Text encoder and denoiser under one name space, as the teacher is trained: both at once.
template <Device D>
struct Teacher {
  using value_type = float;
  using device_type = D;
  nn::TextEncoder<float, D> text;
  Net<D> unet;
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "text_encoder", text, "unet", unet);
  }
};

inline nn::AutoencoderConfig autoencoder_config(const Options& o) {
  nn::AutoencoderConfig c;
  c.block_out_channels = {o.autoencoder_width, 2 * o.autoencoder_width, 4 * o.autoencoder_width};
  return c;
}
inline nn::TextEncoderConfig text_config(const Dataset& dataset) {
  nn::TextEncoderConfig c;
  c.vocabulary = dataset.words.vocabulary();
  c.max_length = dataset.words.longest();
  c.channels = text_width;
  return c;
}

template <Device D>
nn::Autoencoder<float, D> train_autoencoder(const Run& run, const Dataset& dataset) {
  const Options& o = run.options;
  nn::Autoencoder<float, D> net(autoencoder_config(o));
  nn::init_parameters(net, o.seed, "autoencoder");
  pipeline::TrainOptions t;
  t.phase = "autoencoder";
  t.steps = o.autoencoder_steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{o.autoencoder_lr, t.steps}, 20};
  t.ema = optim::EmaOptions{0.995, true};
  const data::ImageSet& images = dataset.images.train;
  const data::Batches batches(images.size(), o.autoencoder_batch, o.seed);
  run.train(t, trainable(net), [&](std::int64_t step) {
    const auto sub = static_cast<std::uint64_t>(step);
    const auto x =
        data::augment(images.images(batches(step)), stream(o.seed, "autoencoder.augment", sub), {.shift = 0});
    return nn::autoencoder_loss(net, x.template to<D>(), stream(o.seed, "autoencoder.noise", sub));
  });
  nn::set_requires_grad(net, false);
  return net;
}

/// Latents of all training images, shifted and scaled to zero mean and unit variance a channel.
template <Device D>
struct Latents {
  Tensor<float, D> values;      ///< [N, 8, 8, 4]
  double shift = 0, scale = 1;  ///< latent = (mean - shift) / scale
};

template <Device D>
Latents<D> encode_all(const nn::Autoencoder<float, D>& net, const data::ImageSet& images) {
  const autograd::NoGrad guard;
  Latents<D> out;
  const std::int64_t batch = 256;
  for (std::int64_t b = 0; b < images.size(); b += batch) {
    const std::int64_t end = std::min(images.size(), b + batch);
    const auto mean = net.encode(Var<float, D>(images.images(b, end).template to<D>())).mean.value();
    if (b == 0) out.values = Tensor<float, D>(mean.shape().with(0, images.size()));
    out.values.slice(b, end).copy_from(mean);
  }
  const double n = static_cast<double>(out.values.size());
  double sum = 0, square = 0;
  for (const float v : out.values.template to<Cpu>().span()) sum += v, square += static_cast<double>(v) * v;
  out.shift = sum / n;
  out.scale = std::sqrt(square / n - out.shift * out.shift);
  ops::map_into(out.values,
                ops::Affine<float>{static_cast<float>(1 / out.scale), static_cast<float>(-out.shift / out.scale)},
                out.values);
  return out;
}

/// Images of latents [N, 8, 8, 4], in batches, for the host.
template <Device D>
Tensor<float> decode_all(const nn::Autoencoder<float, D>& net, const Latents<D>& latents, const Tensor<float, D>& z) {
  const autograd::NoGrad guard;
  Tensor<float> out;
  for (std::int64_t b = 0; b < z.dim(0); b += 256) {
    const std::int64_t end = std::min(z.dim(0), b + 256);
    const auto raw = ops::map(ops::Affine<float>{static_cast<float>(latents.scale), static_cast<float>(latents.shift)},
                              z.slice(b, end));
    const auto image = net.decode(Var<float, D>(raw)).value().template to<Cpu>();
    if (b == 0) out = Tensor<float>(image.shape().with(0, z.dim(0)));
    out.slice(b, end).copy_from(image);
  }
  return out;
}

template <Device D>
nn::Classifier<float, D> train_classifier(const Run& run, const Dataset& dataset,
                                          const std::string& phase = "classifier") {
  const Options& o = run.options;
  nn::Classifier<float, D> net(nn::ClassifierConfig{.classes = dataset.classes()});
  nn::init_parameters(net, o.seed, "classifier");
  pipeline::TrainOptions t;
  t.phase = phase;
  t.steps = o.classifier_steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{o.classifier_lr, t.steps}, 20};
  const data::ImageSet images = dataset.images.train.first(classifier_images);
  const data::Batches batches(images.size(), o.classifier_batch, o.seed);
  run.train(t, trainable(net), [&](std::int64_t step) {
    const auto ids = batches(step);
    const auto x =
        data::augment(images.images(ids), stream(o.seed, "classifier.augment", static_cast<std::uint64_t>(step)));
    return autograd::cross_entropy(net(Var<float, D>(x.template to<D>())), images.labels(ids).template to<D>(), 0.05);
  });
  nn::set_requires_grad(net, false);
  return net;
}

/// Trains text encoder and denoiser together by the denoising loss, from what `net` holds. [Hyper-SD Eq. 16]
template <Device D>
Teacher<D> train_denoiser(const Run& run, const Dataset& dataset, const Latents<D>& latents, Teacher<D> net,
                          pipeline::TrainOptions t) {
  const Options& o = run.options;
  t.ema = optim::EmaOptions{o.ema_teacher, true};
  const data::Batches batches(latents.values.dim(0), o.teacher_batch, o.seed);
  const Tensor<std::int32_t, D> captions(Shape{o.teacher_batch, dataset.words.longest()});
  const auto load = [&](std::int64_t step, const Tensor<float, D>& x0) {
    const auto ids = batches(step);
    const auto full = dataset.captions(dataset.images.train.labels(ids));
    const auto kept = diffusion::drop_condition(full, data::Captions::null(full.dim(1)), o.condition_dropout,
                                                stream(o.seed, "teacher.drop", static_cast<std::uint64_t>(step)));
    captions.copy_from(kept.template to<D>());
    x0.copy_from(take(latents.values, ids));
  };
  const auto predict = [&](const Var<float, D>& x, const Tensor<float, D>& times) {
    return net.unet(x, times, Condition<D>{net.text(captions), {}});
  };
  // Capturable: on a GPU the step becomes one graph.
  run.train(t, trainable(net),
            diffusion::denoising_task<float, D>(Process{}, latents.values.shape().with(0, o.teacher_batch), o.seed,
                                                load, predict));
  nn::set_requires_grad(net, false);
  return net;
}

template <Device D>
Teacher<D> train_teacher(const Run& run, const Dataset& dataset, const Latents<D>& latents) {
  const Options& o = run.options;
  Teacher<D> net{nn::TextEncoder<float, D>(text_config(dataset)), make_denoiser<D>(o)};
  nn::init_parameters(net, o.seed, "teacher");
  pipeline::TrainOptions t;
  t.phase = "teacher";
  t.steps = o.teacher_steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{o.teacher_lr, t.steps}, 100};
  return train_denoiser(run, dataset, latents, std::move(net), t);
}

}  // namespace fashion
