// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rewards.hpp"

/// \file
/// What several programs use is compiled once, in networks.cpp and base.cpp, and linked into each of them: operations,
/// networks and their training in float. `HOW` is `extern` or nothing.

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

namespace hypersd {
FASHION_NETWORKS(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_NETWORKS(extern, Cuda)
#endif
}  // namespace hypersd

namespace fashion {
FASHION_BASE(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_BASE(extern, Cuda)
#endif
}  // namespace fashion
