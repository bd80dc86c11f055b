// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <utility>

namespace hypersd::pipeline {

/// A step function in two parts, which a `Trainer` on a GPU can record once and then launch as one graph a step:
/// `prepare(step)` writes what differs from step to step into tensors that live as long as the function, and `loss()`
/// computes from those alone, in the same way each time, without a number on the host (see `Graph`). What is trained
/// inside a loss (a critic, a fake score) counts steps on the host and does not fit.
template <class F, class T, class D>
concept TwoPartStep = requires(F& f, std::int64_t step) {
  f.prepare(step);
  { f.loss() } -> std::convertible_to<Var<T, D>>;
};

/// `denoising_loss` in two parts, with the same numbers. `load(step, x0)` writes the step's data into x0 and what else
/// the network needs into tensors of its own; `predict(x, t)` is the network with those as its condition: x a variable
/// [B, ...], t [B].
template <diffusion::DiffusionProcess Process, class T, class D, class Load, class Predict>
class DenoisingStep {
  using Times = Numbers<T, D>;

 public:
  /// `shape` is that of the data [B, ...]; x0 begins with sample number `first_sample` of the whole batch.
  DenoisingStep(Process process, const Shape& shape, std::uint64_t seed, Load load, Predict predict,
                std::int64_t first_sample = 0)
      : process_(std::move(process)),
        seed_(seed),
        first_sample_(first_sample),
        load_(std::move(load)),
        predict_(std::move(predict)),
        x0_(shape),
        x_t_(shape),
        target_(shape),
        t_(Shape{shape[0]}) {}

  void prepare(std::int64_t step) {
    load_(step, x0_);
    const diffusion::Randomness random{seed_, step, first_sample_};
    const auto t = diffusion::uniform_times(process_, x0_.dim(0), random.stream("pretrain.t"), first_sample_);
    const auto noise = diffusion::normals<T, D>(x0_.shape(), random, "pretrain.noise");
    x_t_.copy_from(diffusion::network_input(process_, diffusion::add_noise(process_, x0_, noise, t), t));
    target_.copy_from(diffusion::training_target(process_, x0_, noise, t));
    t_.copy_from(diffusion::time_tensor<T, D>(process_, t));
  }
  Var<T, D> loss() const { return autograd::mse(predict_(Var<T, D>(x_t_), t_), target_); }

 private:
  Process process_;
  std::uint64_t seed_;
  std::int64_t first_sample_;
  Load load_;
  Predict predict_;
  Tensor<T, D> x0_, x_t_, target_;
  Times t_;
};

/// Deduces everything but the element type and device: `denoising_step<float, D>(process, shape, ...)`.
template <class T, class D, diffusion::DiffusionProcess Process, class Load, class Predict>
DenoisingStep<Process, T, D, Load, Predict> denoising_step(Process process, const Shape& shape, std::uint64_t seed,
                                                           Load load, Predict predict, std::int64_t first_sample = 0) {
  return {std::move(process), shape, seed, std::move(load), std::move(predict), first_sample};
}

}  // namespace hypersd::pipeline
