// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Common instances in float on the CPU, declared so that a program does not compile them: operations that networks
/// are made of, the networks of Stable Diffusion, AdamW. CMake's target `hypersd::compiled` holds them and includes
/// this header in every file that is compiled with it. Everything else stays a template, and a program computes the
/// same with this header and without.
///
/// These classes define what is large outside of the class, and these functions name the type that they return: an
/// inline member of a declared instance, or a function that returns `auto`, is compiled all the same.

#include <hypersd/nn/init.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/lora_state.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/classifier.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/ema.hpp>

/// Operations on variables; in namespace hypersd. `HOW` is `extern` or nothing.
#define HYPERSD_OPERATION_INSTANCES(HOW, D)                                                                         \
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
  HOW template void autograd::backward(const Var<float, D>&, Tensor<float, D>);                                     \
  HOW template Var<float, D> nn::low_rank_update(const Var<float, D>&, const Var<float, D>&, const Var<float, D>&,  \
                                                 float);

/// Networks and the functions that make, adapt and save them.
#define HYPERSD_NETWORK_INSTANCES(HOW, D)                                                                              \
  HOW template struct nn::UnetDownBlock<float, D>;                                                                     \
  HOW template struct nn::UnetUpBlock<float, D>;                                                                       \
  HOW template struct nn::UnetEncoder<float, D>;                                                                       \
  HOW template struct nn::Unet<float, D>;                                                                              \
  HOW template struct nn::Autoencoder<float, D>;                                                                       \
  HOW template struct nn::TextEncoder<float, D>;                                                                       \
  HOW template struct nn::Classifier<float, D>;                                                                        \
  HYPERSD_FUNCTIONS_OF(HOW, nn::Unet, D)                                                                               \
  HYPERSD_FUNCTIONS_OF(HOW, nn::Autoencoder, D)                                                                        \
  HYPERSD_FUNCTIONS_OF(HOW, nn::TextEncoder, D)                                                                        \
  HOW template std::int64_t nn::add_lora(nn::Unet<float, D>&, const nn::LoraOptions&, std::uint64_t);                  \
  HOW template std::vector<nn::NamedVar<float, D>> nn::lora_parameters(nn::Unet<float, D>&, const std::string&);       \
  HOW template nn::Unet<float, D> nn::merge_lora(const nn::Unet<float, D>&, const std::map<std::string, double>&,      \
                                                 nn::MergedWeights);                                                   \
  HOW template nn::StateDict<float> nn::lora_state(const nn::Unet<float, D>&, const std::string&, const std::string&); \
  HOW template class optim::AdamW<float, D>;                                                                           \
  HOW template class optim::Ema<float, D>;

/// Functions of one of these networks.
#define HYPERSD_FUNCTIONS_OF(HOW, Net, D)                                                              \
  HOW template void nn::init_parameters(Net<float, D>&, std::uint64_t, const std::string&);            \
  HOW template std::vector<nn::NamedVar<float, D>> nn::parameters(Net<float, D>&, const std::string&); \
  HOW template nn::StateDict<float> nn::state_dict(const Net<float, D>&, const std::string&);          \
  HOW template void nn::set_requires_grad(Net<float, D>&, bool);                                       \
  HOW template Net<float, D> nn::deep_copy(const Net<float, D>&);

namespace hypersd {
HYPERSD_OPERATION_INSTANCES(extern, Cpu)
HYPERSD_NETWORK_INSTANCES(extern, Cpu)
}  // namespace hypersd
