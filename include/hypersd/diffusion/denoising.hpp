// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <utility>

/// \file
/// Diffusion pretraining: mean |f(x_t, t, c) - target|^2 for x_t = alpha_t x0 + sigma_t eps, one uniform time t of the
/// process and one noise for each sample of x0 [B, ...], drawn from (seed, step, place of the sample in the whole
/// batch).

namespace hypersd::diffusion {

/// One step's noised data with times and training target.
template <class T, class D>
struct NoisedBatch {
  Tensor<T, D> x_t, target;
  Times t;
};
/// The batch of one step from data x0 [B, ...].
template <DiffusionProcess Process, class T, class D>
NoisedBatch<T, D> noised(const Process& process, const Tensor<T, D>& x0, Randomness random) {
  const auto t = uniform_times(process, x0.dim(0), random.stream("pretrain.t"), random.first_sample);
  const auto noise = normals<T, D>(x0.shape(), random, "pretrain.noise");
  return {add_noise(process, x0, noise, t), training_target(process, x0, noise, t), t};
}

/// The loss of one step; x0 begins with sample number `first_sample`.
template <DiffusionProcess Process, class Net, class T, class D, class Condition>
Var<T, D> denoising_loss(const Net& net, const Process& process, const Tensor<T, D>& x0, const Condition& condition,
                         std::uint64_t seed, std::int64_t step, std::int64_t first_sample = 0) {
  const auto batch = noised(process, x0, Randomness{seed, step, first_sample});
  return autograd::mse(evaluate(process, net, Var<T, D>(batch.x_t), batch.t, condition), batch.target);
}

/// The same as a capturable task, with the same numbers. `load(step, x0)` writes the step's data into x0 and what else
/// the network needs into tensors of its own; `predict(x, t)` is the network with those as its condition: x a variable
/// [B, ...], t [B].
template <DiffusionProcess Process, class T, class D, class Load, class Predict>
class DenoisingTask {
 public:
  static constexpr bool capturable = true;
  /// `shape` is that of the data [B, ...]; x0 begins with sample number `first_sample` of the whole batch.
  DenoisingTask(Process process, const Shape& shape, std::uint64_t seed, Load load, Predict predict,
                std::int64_t first_sample = 0)
      : process_(std::move(process)),
        seed_(seed),
        first_sample_(first_sample),
        load_(std::move(load)),
        predict_(std::move(predict)),
        x0_(shape),
        input_(shape),
        target_(shape),
        t_(Shape{shape[0]}) {}

  void prepare(std::int64_t step) {
    load_(step, x0_);
    const auto batch = noised(process_, x0_, Randomness{seed_, step, first_sample_});
    input_.copy_from(network_input(process_, batch.x_t, batch.t));
    target_.copy_from(batch.target);
    t_.copy_from(time_tensor<T, D>(process_, batch.t));
  }
  Var<T, D> loss() const { return autograd::mse(predict_(Var<T, D>(input_), t_), target_); }

 private:
  Process process_;
  std::uint64_t seed_;
  std::int64_t first_sample_;
  Load load_;
  Predict predict_;
  Tensor<T, D> x0_, input_, target_;
  Numbers<T, D> t_;
};

/// Deduces everything but the element type and device: `denoising_task<float, D>(process, shape, seed, load, predict)`.
template <class T, class D, DiffusionProcess Process, class Load, class Predict>
DenoisingTask<Process, T, D, Load, Predict> denoising_task(Process process, const Shape& shape, std::uint64_t seed,
                                                           Load load, Predict predict, std::int64_t first_sample = 0) {
  return {std::move(process), shape, seed, std::move(load), std::move(predict), first_sample};
}

}  // namespace hypersd::diffusion
