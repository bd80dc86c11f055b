// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/stable_diffusion/folder.hpp>
#include <hypersd/stable_diffusion/transformer_config.hpp>

namespace hypersd::stable_diffusion {

namespace detail {

template <template <Scalar, Device> class Net, Scalar T, Device D, class Read>
Net<T, D> load_transformer(const std::string& path, const LoadOptions& options, Notes* notes, Read&& read) {
  Notes own;
  Notes& to = notes != nullptr ? *notes : own;
  const auto config = ComponentConfig::read(path);
  Net<T, D> net(read(config.json, config.file, to));
  load_weights(net, component_weights<T, D>(path, "diffusion_pytorch_model", options, to), path);
  return net;
}

}  // namespace detail

/// Loads a DiTTransformer2DModel: a folder of diffusers with `config.json` and weights. Throws as `load_folder` does;
/// `notes`, if given, receives what was ignored.
template <Scalar T, Device D = Cpu>
nn::Dit<T, D> load_dit(const std::string& path, const LoadOptions& options = {}, Notes* notes = nullptr) {
  return detail::load_transformer<nn::Dit, T, D>(path, options, notes, dit_config);
}
/// Loads a PixArtTransformer2DModel, as `load_dit`.
template <Scalar T, Device D = Cpu>
nn::PixArt<T, D> load_pixart(const std::string& path, const LoadOptions& options = {}, Notes* notes = nullptr) {
  return detail::load_transformer<nn::PixArt, T, D>(path, options, notes, pixart_config);
}
/// Loads an SD3Transformer2DModel, as `load_dit`.
template <Scalar T, Device D = Cpu>
nn::MmDit<T, D> load_mmdit(const std::string& path, const LoadOptions& options = {}, Notes* notes = nullptr) {
  return detail::load_transformer<nn::MmDit, T, D>(path, options, notes, mmdit_config);
}

}  // namespace hypersd::stable_diffusion
