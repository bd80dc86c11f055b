// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "job.hpp"

/// \file
/// The heavy functions of the main job are compiled in base.cpp and recipe.cpp, beside hypersd_fashion.cpp: three
/// compilers work at once. `HOW` is `extern` or nothing.

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

#define FASHION_RECIPE(HOW, D)                                                                                         \
  HOW template State<D> run_recipe<D>(const Run&, const Dataset&, const nn::Autoencoder<float, D>&, const Latents<D>&, \
                                      const Teacher<D>&, const Rewards<D>&);                                           \
  HOW template Net<D> distil_tcd<D>(const Run&, const RealBatches<D>&, const Teacher<D>&, std::int64_t);               \
  HOW template Net<D> dmd_from_teacher<D>(const Run&, const Dataset&, const Teacher<D>&, diffusion::Time);

namespace fashion {
FASHION_BASE(extern, Cpu)
FASHION_RECIPE(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_BASE(extern, Cuda)
FASHION_RECIPE(extern, Cuda)
#endif
}  // namespace fashion
