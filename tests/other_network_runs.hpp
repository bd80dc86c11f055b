// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_softmax.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/classifier.hpp>
#include <hypersd/nn/models/text_encoder.hpp>

#include <network_runs.hpp>

/// \file
/// The other networks, and a distillation step of a LoRA, as functions of the device.

namespace network_runs {

template <class D, class T = float, class Stored = T>
std::vector<Tensor<float>> autoencoder() {
  auto net = network<nn::Autoencoder<T, D>, nn::Autoencoder<Stored, D>>(
      nn::AutoencoderConfig{1, 1, 4, {8, 12}, 1, 0, true, true, 4, 1e-6, 1}, 3);
  const auto x = normal<D, T, Stored>({2, 6, 6, 1}, "x");
  const auto y = net.decode(net.encode(Var<T, D>(x)).mean);
  autograd::backward(autograd::mse(y, x));
  std::vector<Tensor<float>> out{result(y.value())};
  add_gradients(net, out);
  return out;
}

template <class D, class T = float, class Stored = T>
std::vector<Tensor<float>> text_encoder() {
  nn::TextEncoderConfig c;
  c.channels = 16;
  c.layers = 2;
  c.quick_gelu = true;
  auto net = network<nn::TextEncoder<T, D>, nn::TextEncoder<Stored, D>>(c, 3);
  const auto y = net(Tensor<std::int32_t>::from({2, 5}, {1, 7, 7, 0, 63, 2, 1, 7, 9, 9}).template to<D>());
  autograd::backward(y, normal<D, T, Stored>(y.shape(), "gy"));
  std::vector<Tensor<float>> out{result(y.value())};
  add_gradients(net, out);
  return out;
}

template <class D, class T = float, class Stored = T>
std::vector<Tensor<float>> classifier() {
  auto net = network<nn::Classifier<T, D>, nn::Classifier<Stored, D>>(nn::ClassifierConfig{1, 10, {8, 16}, 12, 4}, 3);
  const auto logits = net(Var<T, D>(normal<D, T, Stored>({3, 9, 9, 1}, "x")));
  autograd::backward(autograd::cross_entropy(logits, Tensor<std::int32_t>::from({3}, {1, 9, 4}).template to<D>(), 0.1));
  std::vector<Tensor<float>> out{result(logits.value())};
  add_gradients(net, out);
  return out;
}

/// Loss of trajectory segmented consistency distillation and the gradients of the student's LoRA.
template <class D, class T = float, class Stored = T>
std::vector<Tensor<float>> distilled() {
  const auto teacher = unet<D, T, Stored>();
  auto student = unet<D, T, Stored>();
  nn::add_lora(student, {.rank = 2}, 5);
  const distill::Tscd<4> objective(diffusion::noise_table<diffusion::ScaledLinear>());
  const distill::Batch<T, D, nn::UnetCondition<T, D>> batch{normal<D, T, Stored>({2, 4, 4, 4}, "x0"),
                                                            {tokens<D, T, Stored>(2), tokens<D, T, Stored>(2)}};
  const auto loss = objective.loss(student, teacher, student, batch, {3, 1}).loss;
  autograd::backward(loss);
  std::vector<Tensor<float>> out{result(loss.value())};
  for (const auto& p : nn::lora_parameters(student)) out.push_back(result(p.var.grad()));
  return out;
}

}  // namespace network_runs
