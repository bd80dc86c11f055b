// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/lora.hpp>

namespace hypersd::nn {

/// The factors of adapter `name` in file layout: `<path>.lora_A.weight` (down, [r, in]), `<path>.lora_B.weight` (up,
/// [out, r]) and `<path>.alpha` (no axes); those of convolutions are [r, in, kh, kw] and [out, r, 1, 1]. Throws
/// OptionError if no layer has such an adapter.
template <Module M>
StateDict<typename M::value_type> lora_state(const M& net, const std::string& name = "default",
                                             const std::string& prefix = "") {
  using T = typename M::value_type;
  using D = typename M::device_type;
  StateDict<T> state;
  M handles = net;
  for_each_layer(
      handles,
      [&](const std::string& path, AdaptedLayer<T, D>& layer) {
        const auto* a = layer.find_adapter(name);
        if (!a) return;
        auto up = a->up.get().value().template to<Cpu>().clone();
        if (layer.weight.rank() == 4) up = up.reshape({up.dim(0), up.dim(1), 1, 1});
        state.emplace(path + ".lora_A.weight", to_file_layout(a->down.get().value().template to<Cpu>().clone()));
        state.emplace(path + ".lora_B.weight", up);
        state.emplace(path + ".alpha", Tensor<T, Cpu>::full(Shape{}, converted<T>(a->alpha)));
      },
      prefix);
  require<OptionError>(!state.empty(), "lora_state: no adapter called '", name, "'");
  return state;
}

namespace detail {

/// Splits `<path>.lora_A.weight` and its siblings; an empty kind if the name is none of them.
inline std::pair<std::string, std::string> split_lora_name(const std::string& name) {
  for (const char* kind : {".lora_A.weight", ".lora_B.weight", ".alpha"}) {
    const std::string suffix = kind;
    if (name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0)
      return {name.substr(0, name.size() - suffix.size()), suffix};
  }
  return {name, ""};
}

/// The tensors of one layer in a file.
template <class T>
struct LoraEntry {
  Tensor<T, Cpu> down, up, alpha;
};

template <class T>
std::map<std::string, LoraEntry<T>> group_lora_state(const StateDict<T>& state) {
  std::map<std::string, LoraEntry<T>> layers;
  for (const auto& [name, tensor] : state) {
    const auto [path, kind] = split_lora_name(name);
    require<FormatError>(!kind.empty(), "LoRA: tensor '", name, "' is neither a factor nor an alpha");
    auto& entry = layers[path];
    (kind == ".lora_A.weight" ? entry.down : kind == ".lora_B.weight" ? entry.up : entry.alpha) = tensor;
  }
  for (const auto& [path, entry] : layers)
    require<FormatError>(entry.down.defined() && entry.up.defined(), "LoRA: layer '", path, "' has no ",
                         entry.down.defined() ? "lora_B (up)" : "lora_A (down)", " factor");
  return layers;
}

}  // namespace detail

/// Adds the adapter in `state`: names and shapes as in `lora_state`, with any rank in each layer. Linear factors may
/// have the shape of a 1x1 convolution and the reverse. A missing alpha means alpha = rank. The factors do not require
/// a gradient. Throws FormatError naming a layer that the network lacks or that lacks a factor, ShapeError naming layer
/// and shapes, OptionError for a name in use; the module is unchanged then.
template <Module M, Scalar T>
void load_lora_state(M& net, const StateDict<T>& state, const std::string& name = "default", double weight = 1,
                     const std::string& prefix = "") {
  using V = typename M::value_type;
  using D = typename M::device_type;
  auto entries = detail::group_lora_state(state);
  require<FormatError>(!entries.empty(), "LoRA: no factors");
  M trial = net;  // so that an exception leaves `net` unchanged
  for_each_layer(
      trial,
      [&](const std::string& path, AdaptedLayer<V, D>& layer) {
        const auto it = entries.find(path);
        if (it == entries.end()) return;
        const auto& e = it->second;
        require<OptionError>(layer.find_adapter(name) == nullptr, "LoRA: layer '", path,
                             "' already has an adapter called '", name, "'");
        require<ShapeError>(e.down.rank() >= 1 && e.up.rank() >= 1, "LoRA: layer '", path, "': factors ",
                            e.down.shape(), " and ", e.up.shape());
        const std::int64_t rank = e.down.dim(0);
        LoraFactors<V, D> f(name, layer.weight.shape(), std::max<std::int64_t>(1, rank), 1);
        require<ShapeError>(
            rank >= 1 && fits_file_shape(e.down.shape(), f.down.shape()) && fits_file_shape(e.up.shape(), f.up.shape()),
            "LoRA: layer '", path, "' of shape ", file_shape(layer.weight.shape()), ": factors ", e.down.shape(),
            " (down) and ", e.up.shape(), " (up) do not fit");
        require<ShapeError>(!e.alpha.defined() || e.alpha.size() == 1, "LoRA: layer '", path, "': alpha of shape ",
                            e.alpha.shape());
        f.alpha =
            e.alpha.defined() ? static_cast<double>(e.alpha.template cast<float>().item()) : static_cast<double>(rank);
        require<FormatError>(std::isfinite(f.alpha), "LoRA: layer '", path, "': alpha = ", f.alpha);
        f.weight = weight;
        f.down.set_requires_grad(false);
        f.up.set_requires_grad(false);
        f.down.assign(from_file_layout(e.down.template cast<V>(), f.down.shape()).template to<D>());
        f.up.assign(e.up.template cast<V>().reshape(f.up.shape()).template to<D>());
        layer.adapters.push_back(std::move(f));
        entries.erase(it);
      },
      prefix);
  require<FormatError>(entries.empty(), "LoRA: the network has no layer '",
                       entries.empty() ? "" : entries.begin()->first, "' (", entries.size(), " unknown layers)");
  net = std::move(trial);
}

}  // namespace hypersd::nn
