// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <hypersd/io/formats/diffusers_names.hpp>
#include <hypersd/io/formats/weight_files.hpp>
#include <hypersd/nn/models/controlnet.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/stable_diffusion/model.hpp>
#include <hypersd/stable_diffusion/scheduler_config.hpp>
#include <optional>
#include <string>

namespace hypersd::stable_diffusion {

/// Options of `load_model` and `load_controlnet`.
struct LoadOptions {
  std::string variant = "";        ///< preferred variant of the weights, such as `fp16`; another one is a fallback
  std::string config_folder = "";  ///< folder with configurations, tokenizer and scheduler for a single file
  bool widen = false;              ///< 16-bit weights become float32; else the CPU keeps them as they are stored
  /// F16 or BF16: a model of float on the CPU holds all matrices and kernels in that type, rounded where the file has
  /// another, and computes with them in float32. Other models ignore it.
  std::optional<io::DType> weights = {};
};

namespace detail {

/// Opens the tensors of a network by `open(access)`: mapped if it holds weights as they are stored or rounded. Throws
/// OptionError if the options want both float32 and 16 bits.
template <Scalar T, Device D, class Open>
io::formats::TensorTable open_for(const LoadOptions& options, const Open& open) {
  require<OptionError>(!options.widen || !options.weights, "load: widen and weights exclude each other");
  constexpr bool keeps = nn::Parameter<T, D>::can_keep;
  const io::formats::TensorTable table = open(keeps && !options.widen ? io::Access::Map : io::Access::Read);
  return keeps && options.weights ? table.rounded(*options.weights) : table;
}

/// Loads all parameters from `table`; errors begin with `label`. A network with weights held in 16 bits is frozen.
template <nn::Module M>
void load_weights(M& net, const io::formats::TensorTable& table, const std::string& label) {
  try {
    nn::load_state_dict(net, table);
    bool kept = false;
    auto look = [&](const std::string&, auto& p) { kept = kept || p.kept().defined(); };
    nn::visit_parameters(net, look);
    if (!kept) return;
    nn::set_requires_grad(net, false);
    Memory<Cpu>::release_pool();  // of tensors whose layout has changed
  } catch (const FormatError& error) {
    fail<FormatError>(io::in_quotes(label), ": ", error.what());
  } catch (const ShapeError& error) {
    fail<ShapeError>(io::in_quotes(label), ": ", error.what());
  }
}

/// Finds and opens the weights of a component; a replacement for the wanted variant goes to `notes`.
template <Scalar T, Device D>
io::formats::TensorTable component_weights(const std::string& folder, const std::string& stem,
                                           const LoadOptions& options, Notes& notes) {
  const auto file = io::formats::find_weights(folder, stem, options.variant);
  if (file.variant != options.variant)
    notes.push_back(io::in_quotes(folder) + ": no variant " + io::in_quotes(options.variant) + ", " +
                    io::in_quotes(file.path) + " is used");
  return open_for<T, D>(options, [&](io::Access access) { return io::formats::open_weights(file, access); });
}

/// A component's configuration: `config.json` in its folder.
struct ComponentConfig {
  std::string file;
  io::Json json;
  static ComponentConfig read(const std::string& folder) {
    const std::string path = folder + "/config.json";
    return {path, io::read_json(path)};
  }
};

/// The usual latent size, a number or [height, width], or `fallback`.
inline std::int64_t read_sample_size(const ComponentConfig& config, std::int64_t fallback) {
  const io::Json* size = config.json.find("sample_size");
  if (size != nullptr && size->as<io::Json::Array>() != nullptr && !size->as<io::Json::Array>()->empty())
    size = &size->as<io::Json::Array>()->front();
  const auto* number = size == nullptr ? nullptr : size->as<std::int64_t>();
  return number != nullptr && *number > 0 && *number <= 65536 ? *number : fallback;
}

template <Scalar T, Device D>
nn::TextEncoder<T, D> load_text_encoder(const std::string& folder, const LoadOptions& options, Notes& notes) {
  const auto config = ComponentConfig::read(folder);
  auto sizes = text_encoder_config(config.json, config.file, notes);
  const auto table = component_weights<T, D>(folder, "model", options, notes).renamed(io::formats::text_encoder_name);
  // A configuration without `architectures` does not say whether there is a projection.
  if (sizes.projection_dim == 0 && table.contains("text_projection.weight")) {
    const Shape projection = table.shape("text_projection.weight");
    if (projection.rank() == 2) sizes.projection_dim = projection[0];
  }
  nn::TextEncoder<T, D> net(sizes);
  load_weights(net, table, folder);
  return net;
}

/// Loads the VAE of a model folder.
template <Scalar T, Device D>
void load_vae(Model<T, D>& model, const std::string& path, const LoadOptions& options) {
  const auto config = ComponentConfig::read(path + "/vae");
  model.vae = nn::Autoencoder<T, D>(autoencoder_config(config.json, config.file, model.notes));
  model.force_upcast = io::JsonFields(config.json, config.file).flag("force_upcast", true);
  const auto table = component_weights<T, D>(path + "/vae", "diffusion_pytorch_model", options, model.notes);
  load_weights(model.vae, table.renamed(io::formats::autoencoder_name), path + "/vae");
}

/// Whether `model_index.json` names the component: `[null, null]` or no entry mean that it is absent.
inline bool has_component(const io::Json& index, const std::string& name) {
  const io::Json* entry = index.find(name);
  const auto* pair = entry == nullptr ? nullptr : entry->as<io::Json::Array>();
  return pair != nullptr && pair->size() == 2 && !(*pair)[1].is_null();
}

}  // namespace detail

/// Loads a model folder of diffusers (`model_index.json` and one folder for each component), written by old or new
/// versions: one weight file or shards, any variant, old and new parameter names. Networks of float on the CPU hold
/// 16-bit matrices and kernels as they are stored, in the mapped file where its layout allows, and are frozen then:
/// `LoadOptions::widen` or nn::set_requires_grad makes them float32. The files must not change while the model is in
/// use. All other weights are converted to `T` while they are read; no second copy is held. Throws IoError for what is
/// missing, FormatError for configurations that are not supported and for weights of another architecture, naming file
/// and field or tensor.
template <Scalar T, Device D = Cpu>
Model<T, D> load_folder(const std::string& path, const LoadOptions& options = {}) {
  const std::string index_file = path + "/model_index.json";
  const io::Json index = io::read_json(index_file);
  io::JsonFields fields(index, index_file);
  Model<T, D> model;
  model.path = path;
  for (const char* needed : {"unet", "vae", "text_encoder"})
    require<FormatError>(detail::has_component(index, needed), io::in_quotes(index_file), ": no component '", needed,
                         "', which Stable Diffusion needs");
  {
    const auto config = detail::ComponentConfig::read(path + "/unet");
    model.unet = nn::Unet<T, D>(unet_config(config.json, config.file, model.notes));
    model.family = family_of(model.unet.config());
    model.sample_size = detail::read_sample_size(config, model.family == Family::sdxl ? 128 : 64);
    const auto table = detail::component_weights<T, D>(path + "/unet", "diffusion_pytorch_model", options, model.notes);
    detail::load_weights(model.unet, table, path + "/unet");
  }
  detail::load_vae(model, path, options);
  for (const std::string& number : {std::string(), std::string("_2")}) {
    if (!detail::has_component(index, "text_encoder" + number)) continue;
    model.text_encoders.push_back(
        detail::load_text_encoder<T, D>(path + "/text_encoder" + number, options, model.notes));
    const std::string tokenizer = path + "/tokenizer" + number;
    model.tokenizers.push_back(std::filesystem::is_directory(tokenizer) ? tokenizer : "");
  }
  require<FormatError>(model.text_encoders.size() == (model.family == Family::sdxl ? 2U : 1U),
                       io::in_quotes(index_file), ": ", model.text_encoders.size(), " text encoders for a UNet of ",
                       family_name(model.family));
  if (detail::has_component(index, "scheduler"))
    model.scheduler = read_scheduler_json(path + "/scheduler/scheduler_config.json");
  model.force_zeros_for_empty_prompt = fields.flag("force_zeros_for_empty_prompt", true);
  return model;
}

/// Loads a ControlNet folder of diffusers (`config.json` and weights). Throws as `load_folder` does; `notes`, if given,
/// receives what was ignored.
template <Scalar T, Device D = Cpu>
nn::ControlNet<T, D> load_controlnet_folder(const std::string& path, const LoadOptions& options = {},
                                            Notes* notes = nullptr) {
  Notes own;
  Notes& to = notes != nullptr ? *notes : own;
  const auto config = detail::ComponentConfig::read(path);
  nn::ControlNet<T, D> net(controlnet_config(config.json, config.file, to));
  const auto table = detail::component_weights<T, D>(path, "diffusion_pytorch_model", options, to);
  detail::load_weights(net, table, path);
  return net;
}

}  // namespace hypersd::stable_diffusion
