// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "job.hpp"

/// \file
/// What several translation units use is compiled in one of them: networks.cpp, base.cpp, recipe.cpp and results.cpp,
/// so that no code is compiled twice and two compilers work at once. `HOW` is `extern` or nothing.

/// Networks, their operations and their training; in namespace hypersd.
#define FASHION_NETWORKS(HOW, D)                                                                                    \
  HOW template Var<float, D> autograd::conv2d(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&,     \
                                              ops::Conv2dOptions);                                                  \
  HOW template Var<float, D> autograd::linear(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&);    \
  HOW template Var<float, D> autograd::group_norm(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&, \
                                                  std::int64_t, double, ops::Activation);                           \
  HOW template Var<float, D> autograd::layer_norm(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&, \
                                                  double);                                                          \
  HOW template Var<float, D> autograd::attention(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&,  \
                                                 std::int64_t, bool);                                               \
  HOW template Var<float, D> autograd::geglu(const Var<float, D>&);                                                 \
  HOW template Var<float, D> autograd::silu(const Var<float, D>&);                                                  \
  HOW template Var<float, D> autograd::add(const Var<float, D>&, const Var<float, D>&);                             \
  HOW template Var<float, D> autograd::concat_channels(const std::vector<Var<float, D>>&);                          \
  HOW template Var<float, D> autograd::concat_batch(const std::vector<Var<float, D>>&);                             \
  HOW template Var<float, D> autograd::upsample_nearest(const Var<float, D>&, std::int64_t, std::int64_t);          \
  HOW template Var<float, D> autograd::cross_entropy(const Var<float, D>&, const Tensor<std::int32_t, D>&, double); \
  HOW template Var<float, D> nn::low_rank_update(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&,  \
                                                 float);                                                            \
  HOW template void autograd::backward(const Var<float, D>&, Tensor<float, D>);                                     \
  HOW template struct nn::Unet<float, D>;                                                                           \
  HOW template struct nn::UnetEncoder<float, D>;                                                                    \
  HOW template struct nn::Autoencoder<float, D>;                                                                    \
  HOW template struct nn::TextEncoder<float, D>;                                                                    \
  HOW template struct nn::Classifier<float, D>;                                                                     \
  HOW template class optim::AdamW<float, D>;                                                                        \
  HOW template class optim::Ema<float, D>;                                                                          \
  HOW template class pipeline::Trainer<float, D>;

/// Networks and rewards that exist before any distillation.
#define FASHION_BASE(HOW, D)                                                                                          \
  HOW template nn::Autoencoder<float, D> train_autoencoder<D>(const Run&, const Dataset&);                            \
  HOW template nn::Classifier<float, D> train_classifier<D>(const Run&, const Dataset&, const std::string&);          \
  HOW template Latents<D> encode_all<D>(const nn::Autoencoder<float, D>&, const data::ImageSet&);                     \
  HOW template Tensor<float> decode_all<D>(const nn::Autoencoder<float, D>&, const Latents<D>&,                       \
                                           const Tensor<float, D>&);                                                  \
  HOW template Teacher<D> train_teacher<D>(const Run&, const Dataset&, const Latents<D>&);                            \
  HOW template Tensor<float, D> sample_latents<Net<D>, D>(const Net<D>&, const nn::TextEncoder<float, D>&,            \
                                                          const Tensor<std::int32_t>&, const Tensor<float>&,          \
                                                          const SampleOptions&, const Progress&, const std::string&); \
  HOW template Rewards<D> train_rewards<D>(const Run&, const Dataset&, const nn::Autoencoder<float, D>&,              \
                                           const Latents<D>&, const Teacher<D>&);

/// The job and the parts of the method.
#define FASHION_RECIPE(HOW, D)                                                                           \
  HOW template void execute<D>(const Options&);                                                          \
  HOW template Net<D> distil_tcd<D>(const Run&, const RealBatches<D>&, const Teacher<D>&, std::int64_t); \
  HOW template Net<D> dmd_from_teacher<D>(const Run&, const Dataset&, const Teacher<D>&, diffusion::Time);

/// Measures, pictures and the report.
#define FASHION_RESULTS(HOW, D)                                                   \
  HOW template void show_results<D>(const Run&, const Dataset&, const Models<D>&, \
                                    std::chrono::steady_clock::time_point);

namespace hypersd {
FASHION_NETWORKS(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_NETWORKS(extern, Cuda)
#endif
}  // namespace hypersd

namespace fashion {
FASHION_BASE(extern, Cpu)
FASHION_RECIPE(extern, Cpu)
FASHION_RESULTS(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_BASE(extern, Cuda)
FASHION_RECIPE(extern, Cuda)
FASHION_RESULTS(extern, Cuda)
#endif
}  // namespace fashion
