// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <filesystem>
#include <hypersd/io/formats/tensor_table.hpp>
#include <hypersd/io/json_fields.hpp>
#include <set>
#include <string>
#include <vector>

/// \file
/// Which files of a model folder hold the weights: one safetensors file or shards with an index, with or without a
/// variant such as `fp16` (huggingface/diffusers `src/diffusers/models/model_loading_utils.py`).

namespace hypersd::io::formats {

/// Throws FormatError for a pickle file (`.ckpt`, `.bin`, `.pt`, `.pth`), saying why and what to do.
inline void refuse_pickle(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension().string();
  for (const char* pickle : {".ckpt", ".bin", ".pt", ".pth"})
    require<FormatError>(ending != pickle, in_quotes(path),
                         " is a Python pickle, which can run any program when it is ",
                         "read, and is not supported; convert it to safetensors, for example with ",
                         "safetensors.torch.save_file, or get the model's .safetensors file");
}

/// The weight map of a shard index: tensor name -> file name. Every file name is a plain name of a safetensors file.
/// Throws FormatError naming `path`, tensor and rule.
inline std::map<std::string, std::string> parse_shard_index(const Json& index, const std::string& path) {
  const Json* map = index.find("weight_map");
  require<FormatError>(map != nullptr && map->as<Json::Object>() != nullptr, in_quotes(path),
                       ": a shard index needs an object 'weight_map'");
  std::map<std::string, std::string> out;
  for (const auto& [tensor, file] : *map->as<Json::Object>()) {
    const auto* name = file.as<std::string>();
    require<FormatError>(name != nullptr, in_quotes(path), ": weight_map of tensor ", in_quotes(tensor),
                         " is not a file name");
    const bool plain = !name->empty() && name->find('/') == std::string::npos &&
                       name->find('\\') == std::string::npos && name->find('\0') == std::string::npos && *name != "." &&
                       *name != "..";
    require<FormatError>(plain, in_quotes(path), ": weight_map of tensor ", in_quotes(tensor), ": ", in_quotes(*name),
                         " is not a plain file name of the same folder");
    refuse_pickle(*name);
    out.emplace(tensor, *name);
  }
  require<FormatError>(!out.empty(), in_quotes(path), ": weight_map is empty");
  return out;
}

/// Opens the shards of an index. Throws IoError for a missing shard, FormatError for a tensor that its shard does not
/// have; tensors of a shard that the index does not list are left out.
inline TensorTable open_shards(const std::string& index_path, Access access = Access::Read) {
  const auto map = parse_shard_index(read_json(index_path), index_path);
  const auto folder = std::filesystem::path(index_path).parent_path();
  std::map<std::string, std::shared_ptr<const SafetensorsFile>> files;
  TensorTable table;
  for (const auto& [tensor, name] : map) {
    auto& file = files[name];
    if (!file) file = std::make_shared<const SafetensorsFile>((folder / name).string(), access);
    require<FormatError>(file->contains(tensor), in_quotes(index_path), ": tensor ", in_quotes(tensor),
                         " is not in its shard ", in_quotes(file->path()));
    table.add(file, tensor);
  }
  return table;
}

/// The weights of one component of a model folder.
struct WeightFile {
  std::string path;      ///< a safetensors file or a shard index
  std::string variant;   ///< such as `fp16`; empty: none
  bool sharded = false;  ///< whether `path` is an index
};

/// All weights in `folder` whose name begins with `stem`, such as `diffusion_pytorch_model`: the one without a variant
/// first, then by variant; a single file comes before shards.
inline std::vector<WeightFile> list_weights(const std::string& folder, const std::string& stem) {
  std::error_code code;
  std::vector<WeightFile> found;
  const std::string index = ".safetensors.index", single = ".safetensors", json = ".json";
  for (const auto& entry : std::filesystem::directory_iterator(folder, code)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(stem)) continue;
    std::string rest = name.substr(stem.size());
    if (rest.starts_with(index) && rest.ends_with(json)) {
      rest = rest.substr(index.size(), rest.size() - index.size() - json.size());
      if (rest.empty() || rest[0] == '.')
        found.push_back({entry.path().string(), rest.substr(rest.empty() ? 0 : 1), true});
    } else if (rest.ends_with(single)) {
      rest = rest.substr(0, rest.size() - single.size());
      // A shard is `-00001-of-00003`, before or after its variant.
      if (rest.empty() || (rest[0] == '.' && rest.find("-of-") == std::string::npos))
        found.push_back({entry.path().string(), rest.substr(rest.empty() ? 0 : 1), false});
    }
  }
  require<IoError>(!code, "cannot list ", in_quotes(folder), ": ", code.message());
  std::sort(found.begin(), found.end(), [](const WeightFile& a, const WeightFile& b) {
    return std::pair(a.variant, a.sharded) < std::pair(b.variant, b.sharded);
  });
  return found;
}

/// The weights of that variant; if there are none, those without a variant; if there are none either, the only other
/// variant. Throws OptionError if the choice is open, FormatError if there are only pickle files, IoError if nothing.
inline WeightFile find_weights(const std::string& folder, const std::string& stem, const std::string& variant = "") {
  const auto found = list_weights(folder, stem);
  for (const std::string& want : {variant, std::string()})
    for (const WeightFile& file : found)
      if (file.variant == want) return file;
  std::set<std::string> variants;
  for (const WeightFile& file : found) variants.insert(file.variant);
  if (variants.size() == 1) return found.front();
  std::string names;
  for (const std::string& name : variants) names += (names.empty() ? "" : ", ") + name;
  require<OptionError>(variants.empty(), in_quotes(folder), " has the variants ", names, ": name one of them");
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (entry.path().extension() != ".json" && entry.path().extension() != ".safetensors")
      refuse_pickle(entry.path().string());
  fail<IoError>("no weights in ", in_quotes(folder), ": ", stem, ".safetensors or its shards are needed");
}

/// Opens what `find_weights` found.
inline TensorTable open_weights(const WeightFile& file, Access access = Access::Read) {
  return file.sharded ? open_shards(file.path, access) : TensorTable(file.path, access);
}

}  // namespace hypersd::io::formats
