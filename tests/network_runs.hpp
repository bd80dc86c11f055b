// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/denoising.hpp>
#include <hypersd/diffusion/graph_sampler.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/optim/adamw.hpp>

#include <numbers.hpp>
#include <vector>

/// \file
/// Whole networks as functions of the device and the element type, for tests that compare them. `Stored` is a type to
/// which inputs and parameters are rounded first.

namespace network_runs {

using namespace hypersd;

inline nn::UnetConfig small() {
  nn::UnetConfig c;
  c.block_out_channels = {8, 16};
  c.down_attention = {false, true};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  return c;
}

template <class D, class T = float, class Stored = T>
Tensor<T, D> normal(const Shape& shape, const char* name) {
  return ops::cast<T>(ops::cast<Stored>(numbers::normal<float>(shape, name))).template to<D>();
}

/// A result on the host, in float.
template <class T, class D>
Tensor<float> result(const Tensor<T, D>& t) {
  return ops::cast<float>(t.template to<Cpu>());
}

/// A network with the parameters that `seed` gives the one of type `Source`.
template <class Net, class Source, class Config>
Net network(const Config& config, std::uint64_t seed) {
  Net net(config);
  if constexpr (std::same_as<Net, Source>) {
    nn::init_parameters(net, seed);
  } else {
    Source source(config);
    nn::init_parameters(source, seed);
    nn::copy_parameters(source, net);
  }
  return net;
}

template <class D, class T = float, class Stored = T>
nn::UnetCondition<T, D> tokens(std::int64_t batch) {
  return {Var<T, D>(normal<D, T, Stored>({batch, 3, 12}, "tokens")), {}};
}

template <class D, class T = float, class Stored = T>
nn::Unet<T, D> unet() {
  return network<nn::Unet<T, D>, nn::Unet<Stored, D>>(small(), 7);
}

template <class Net>
void add_gradients(Net& net, std::vector<Tensor<float>>& out) {
  for (const auto& p : nn::parameters(net))
    if (p.var.grad().defined()) out.push_back(result(p.var.grad()));
}

/// The result of a UNet and the gradients of its input and of all its parameters.
template <class D, class T = float, class Stored = T>
std::vector<Tensor<float>> gradients() {
  auto net = unet<D, T, Stored>();
  const Var<T, D> x(normal<D, T, Stored>({2, 6, 4, 4}, "x"), true);
  const auto y = net(x, normal<D, Accumulator<T>>({2}, "t"), tokens<D, T, Stored>(2));
  autograd::backward(y, normal<D, T, Stored>(y.shape(), "gy"));
  std::vector<Tensor<float>> out{result(y.value()), result(x.grad())};
  add_gradients(net, out);
  return out;
}

/// Losses of `steps` steps of AdamW, then the parameters.
template <class D>
std::vector<Tensor<float>> trained(int steps) {
  auto net = unet<D>();
  optim::AdamW<float, D> optimizer(optim::parameters_of(net));
  const diffusion::StableDiffusion process;
  const auto x0 = normal<D>({4, 4, 4, 4}, "x0");
  std::vector<Tensor<float>> out;
  for (int i = 0; i < steps; ++i) {
    optimizer.zero_grad();
    const auto loss = diffusion::denoising_loss(net, process, x0, tokens<D>(4), 3, i);
    autograd::backward(loss);
    optimizer.step(1e-3);
    out.push_back(loss.value().template to<Cpu>());
  }
  for (const auto& p : optim::parameters_of(net)) out.push_back(p.var.value().template to<Cpu>());
  return out;
}

/// Four stochastic steps of the sampler.
template <class D, class T = float, class Stored = T>
std::vector<Tensor<float>> sampled() {
  const auto net = unet<D, T, Stored>();
  const diffusion::Sampler<diffusion::Tcd, diffusion::StableDiffusion> sampler({.eta = 0.3});
  return {result(sampler(net, normal<D, T, Stored>({2, 4, 4, 4}, "noise"), tokens<D, T, Stored>(2), 4))};
}

/// The same run, recorded with other contents and another seed.
template <class D>
std::vector<Tensor<float>> replayed() {
  const auto net = unet<D>();
  const diffusion::Sampler<diffusion::Tcd, diffusion::StableDiffusion> sampler({.eta = 0.3});
  auto other = tokens<D>(2);
  other.tokens.value().fill(0.25F);
  const diffusion::GraphSampler recorded(sampler, net, normal<D>({2, 4, 4, 4}, "other"), other, 4);
  (void)recorded(normal<D>({2, 4, 4, 4}, "other"), other, 9);
  return {recorded(normal<D>({2, 4, 4, 4}, "noise"), tokens<D>(2)).template to<Cpu>()};
}

/// Four stochastic steps whose kernels evaluate an exact denoiser themselves.
template <class D>
std::vector<Tensor<float>> computed_in_steps() {
  const diffusion::IndependentDenoiser<diffusion::Discrete<diffusion::Velocity>> net(
      diffusion::noise_table<diffusion::ScaledLinear>(),
      diffusion::Mixture({{0.7, {-1.0}, 0.3, 0}, {0.3, {0.8}, 0.5, 0}}));
  const diffusion::Sampler<diffusion::Tcd, diffusion::Process<diffusion::ScaledLinear, diffusion::Velocity>> sampler(
      {.eta = 0.3});
  return {sampler(net, normal<D>({3, 333}, "noise"), diffusion::Unconditional{}, 4).template to<Cpu>()};
}

/// Largest difference, relative to the largest number of the expected tensor where that exceeds 1.
inline double difference(const std::vector<Tensor<float>>& got, const std::vector<Tensor<float>>& expected) {
  double worst = got.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i) {
    double largest = 1;
    for (const float v : expected[i].span()) largest = std::max(largest, std::abs(static_cast<double>(v)));
    const double d = numbers::distance(got[i], expected[i]) / largest;
    worst = numbers::worse(worst, d);
  }
  return worst;
}

inline double norm(const Tensor<float>& t) {
  double sum = 0;
  for (const float v : t.span()) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

/// The worst tensor's |got - want| / |want|; 1e-3 of the largest norm stands for smaller ones, which are zero but for
/// cancellation.
inline double relative(const std::vector<Tensor<float>>& got, const std::vector<Tensor<float>>& want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double worst = 0, top = 0;
  for (const auto& t : want) top = std::max(top, norm(t));
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!(got[i].shape() == want[i].shape())) return std::numeric_limits<double>::infinity();
    const double d = norm(ops::map(ops::Sub{}, got[i], want[i])) / std::max(norm(want[i]), 1e-3 * top);
    worst = numbers::worse(worst, d);
  }
  return worst;
}

}  // namespace network_runs
