// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/jvp.hpp>
#include <hypersd/nn/models/dit.hpp>
#include <hypersd/nn/models/mmdit.hpp>
#include <hypersd/nn/models/pixart.hpp>

#include <network_runs.hpp>

/// \file
/// Diffusion transformers as functions of the device.

namespace network_runs {

/// The result of a network, its derivative along sample and time, and the gradients of its parameters.
template <class Net, class Config, class Condition>
std::vector<Tensor<float>> transformer(const Config& config, const Condition& condition) {
  using D = typename Net::device_type;
  Net net(config);
  nn::init_parameters(net, 7);
  for (auto& p : nn::parameters(net))  // a fresh transformer predicts 0
    if (p.var.requires_grad()) p.var.set_value(ops::map(ops::Affine<float>{0.3F, 0}, normal<D>(p.var.shape(), "p")));
  const autograd::Dual x{normal<D>({2, 4, 6, 4}, "x"), normal<D>({2, 4, 6, 4}, "dx")};
  const autograd::Dual t{Tensor<float, D>::full({2}, 300), Tensor<float, D>::ones({2})};
  const auto out =
      autograd::jvp([&](const Var<float, D>& at, const Var<float, D>& time) { return net(at, time, condition); }, x, t);
  autograd::backward(out.value, normal<D>(out.value.shape(), "gy"));
  std::vector<Tensor<float>> all{result(out.value.value()), result(out.tangent)};
  add_gradients(net, all);
  return all;
}

/// Of the class-conditional one, with RMS norms if `rms`.
template <class D>
std::vector<Tensor<float>> dit(bool rms) {
  nn::DitConfig c;
  c.heads = 2;
  c.head_dim = 8;
  c.layers = 2;
  c.qk_norm = c.rms_norm = rms;
  return transformer<nn::Dit<float, D>>(c, Tensor<std::int32_t>::from({2}, {3, 10}).template to<D>());
}

/// Of the one with cross-attention.
template <class D>
std::vector<Tensor<float>> pixart() {
  nn::PixArtConfig c;
  c.heads = 2;
  c.head_dim = 12;
  c.layers = 1;
  c.text_channels = 12;
  c.size_conditions = true;
  const auto sizes = Tensor<float>::from({2, 3}, {512, 768, 0.66F, 1024, 256, 4}).to<D>();
  return transformer<nn::PixArt<float, D>>(
      c, nn::UnetCondition<float, D>{Var<float, D>(normal<D>({2, 3, 12}, "tokens")),
                                     Var<float, D>(nn::size_features<float, D>(sizes))});
}

/// Of the one with joint attention.
template <class D>
std::vector<Tensor<float>> mmdit() {
  nn::MmDitConfig c;
  c.heads = 2;
  c.head_dim = 8;
  c.layers = 2;
  c.text_channels = c.pooled_channels = 12;
  c.qk_norm = true;
  c.dual_attention_layers = {0};
  return transformer<nn::MmDit<float, D>>(c, nn::UnetCondition<float, D>{Var<float, D>(normal<D>({2, 3, 12}, "tokens")),
                                                                         Var<float, D>(normal<D>({2, 12}, "pooled"))});
}

}  // namespace network_runs
