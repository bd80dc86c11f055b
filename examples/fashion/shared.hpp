// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rewards.hpp"

#include <hypersd/compiled.hpp>

/// \file
/// What several programs use is compiled once and linked into each of them: networks by hypersd::compiled, their
/// training by base.cpp. `HOW` is `extern` or nothing.

/// Training loop and losses; in namespace hypersd.
#define FASHION_TRAINING(HOW, D)                                                                                    \
  HOW template Var<float, D> autograd::cross_entropy(const Var<float, D>&, const Tensor<std::int32_t, D>&, double); \
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
FASHION_TRAINING(extern, Cpu)
#if HYPERSD_HAS_CUDA
HYPERSD_OPERATION_INSTANCES(extern, Cuda)
HYPERSD_NETWORK_INSTANCES(extern, Cuda)
FASHION_TRAINING(extern, Cuda)
#endif
}  // namespace hypersd

namespace fashion {
FASHION_BASE(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_BASE(extern, Cuda)
#endif
}  // namespace fashion
