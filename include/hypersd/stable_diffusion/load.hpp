// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <hypersd/stable_diffusion/folder.hpp>
#include <hypersd/stable_diffusion/single_file.hpp>
#include <string>

namespace hypersd::stable_diffusion {

/// Loads a checkpoint of SD 1.x, SD 2.x or SDXL: a model folder of diffusers (`load_folder`) or one file
/// (`load_single_file`). Throws IoError if it does not exist, FormatError for a pickle checkpoint, and as these do.
template <Scalar T, Device D = Cpu>
Model<T, D> load_model(const std::string& path, const LoadOptions& options = {}) {
  io::formats::refuse_pickle(path);
  require<IoError>(std::filesystem::exists(path), io::in_quotes(path), " does not exist");
  return std::filesystem::is_directory(path) ? load_folder<T, D>(path, options) : load_single_file<T, D>(path, options);
}

/// Loads a ControlNet: a folder of diffusers (`load_controlnet_folder`) or one file (`load_controlnet_file`). Throws as
/// `load_model` does; `notes`, if given, receives what was ignored.
template <Scalar T, Device D = Cpu>
nn::ControlNet<T, D> load_controlnet(const std::string& path, const LoadOptions& options = {}, Notes* notes = nullptr) {
  io::formats::refuse_pickle(path);
  require<IoError>(std::filesystem::exists(path), io::in_quotes(path), " does not exist");
  return std::filesystem::is_directory(path) ? load_controlnet_folder<T, D>(path, options, notes)
                                             : load_controlnet_file<T, D>(path, options, notes);
}

}  // namespace hypersd::stable_diffusion
