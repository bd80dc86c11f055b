// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/objective.hpp>

namespace hypersd::pipeline {

/// Diffusion pretraining: mean |f(x_t, t, c) - target|^2 for x_t = alpha_t x0 + sigma_t eps, one uniform time t of the
/// table and one noise for each sample of x0 [B, ...], drawn from (seed, step, place of the sample in the whole batch);
/// x0 begins with sample number `first_sample`.
template <diffusion::DiffusionProcess Process, class Net, class T, class D, class Condition>
requires diffusion::Denoiser<Net, T, D, Condition> Var<T, D> denoising_loss(const Net& net, const Process& process,
                                                                            const Tensor<T, D>& x0,
                                                                            const Condition& condition,
                                                                            std::uint64_t seed, std::int64_t step,
                                                                            std::int64_t first_sample = 0) {
  const diffusion::Randomness random{seed, step, first_sample};
  const auto t = diffusion::uniform_times(process, x0.dim(0), random.stream("pretrain.t"), first_sample);
  const auto noise = diffusion::normals<T, D>(x0.shape(), random, "pretrain.noise");
  const Var<T, D> x_t(diffusion::add_noise(process, x0, noise, t));
  return autograd::mse(diffusion::evaluate(process, net, x_t, t, condition),
                       diffusion::training_target(process, x0, noise, t));
}

}  // namespace hypersd::pipeline
