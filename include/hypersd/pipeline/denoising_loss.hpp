// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <hypersd/ops/random.hpp>

namespace hypersd::pipeline {

/// Diffusion pretraining: mean |f(x_t, t, c) - target|^2 for x_t = alpha_t x0 + sigma_t eps, one uniform time t of the
/// table and one noise for each sample of x0 [B, ...], drawn from (seed, step).
template <diffusion::Prediction P, class Net, class T, class D, class Condition>
  requires diffusion::Denoiser<Net, T, D, Condition>
Var<T, D> denoising_loss(const Net& net, const diffusion::NoiseTable& table, P, const Tensor<T, D>& x0,
                         const Condition& condition, std::uint64_t seed, std::int64_t step) {
  const auto sub = static_cast<std::uint64_t>(step);
  const Stream times = stream(seed, "pretrain.t", sub);
  diffusion::Times t;
  for (std::int64_t b = 0; b < x0.dim(0); ++b)
    t.push_back(static_cast<int>(integer_at(times, static_cast<std::uint64_t>(b), table.size())));
  const auto noise = ops::normal<T, D>(x0.shape(), stream(seed, "pretrain.noise", sub));
  auto combine = [&](auto&& coefficients) {
    const auto f = diffusion::sample_forms<T, D>(x0.dim(0), [&](std::size_t b) { return coefficients(table.level(t[b])); });
    return diffusion::detail::apply(f, x0, noise);
  };
  const auto x_t = combine([](diffusion::Level l) { return diffusion::Form{l.alpha, l.sigma}; });
  const auto target = combine([](diffusion::Level l) {
    const diffusion::Target w = P::target(l);
    return diffusion::Form{w.x0, w.eps};
  });
  return autograd::mse(net(Var<T, D>(x_t), diffusion::time_tensor<T, D>(t), condition), target);
}

}  // namespace hypersd::pipeline
