// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/nn/lora.hpp>
#include <string>
#include <utility>
#include <variant>

/// \file
/// What of a network a later part of the recipe trains. The paper has both: Table 1's one-step UNet is a full
/// fine-tune, everything else an adapter.

namespace hypersd::pipeline {

/// An adapter of its own on top of everything that the network has, which is frozen. (Feedback, Sec. 3.2)
struct NewAdapter {
  nn::LoraOptions lora{};

  [[nodiscard]] std::string describe() const { return "new adapter '" + lora.name + "'"; }
  /// A network that shares all of `start` but the new factors. Throws what `nn::add_lora` throws.
  template <nn::Module Net>
  [[nodiscard]] Net prepare(const Net& start, std::uint64_t seed) const {
    Net out = start;
    nn::set_requires_grad(out, false);
    nn::add_lora(out, lora, seed);
    return out;
  }
};

/// The adapter `name` that the network has already, continued on a copy of its factors. (The unified LoRA, Sec. 3.3)
struct SameAdapter {
  std::string name = "default";

  [[nodiscard]] std::string describe() const { return "adapter '" + name + "', continued"; }
  /// Throws OptionError if no layer has such an adapter.
  template <nn::Module Net>
  [[nodiscard]] Net prepare(const Net& start, std::uint64_t) const {
    using V = Var<typename Net::value_type, typename Net::device_type>;
    Net out = start;
    nn::set_requires_grad(out, false);
    bool found = false;
    nn::for_each_layer(out, [&](const std::string&, auto& layer) {
      auto* a = layer.find_adapter(name);
      if (a == nullptr) return;
      found = true;
      for (auto* factor : {&a->down, &a->up}) factor->bind(V(factor->get().value().clone(), true));
    });
    require<OptionError>(found, "no adapter called '", name, "' to continue");
    return out;
  }
};

/// All weights, of a copy into which the adapters are merged. (The one-step UNet, Table 1)
struct AllWeights {
  [[nodiscard]] std::string describe() const { return "all weights"; }
  template <nn::Module Net>
  [[nodiscard]] Net prepare(const Net& start, std::uint64_t) const {
    Net out = nn::deep_copy(nn::merge_lora(start));
    nn::set_requires_grad(out, true);
    return out;
  }
};

/// What a phase trains.
using Tuning = std::variant<NewAdapter, SameAdapter, AllWeights>;

/// Words for recipe.json.
inline std::string describe(const Tuning& tuning) {
  return std::visit([](const auto& one) { return one.describe(); }, tuning);
}
/// The network that a phase trains, made from `start`, of which it shares what stays frozen. What is trained requires a
/// gradient, and nothing else does.
template <nn::Module Net>
Net prepare(const Tuning& tuning, const Net& start, std::uint64_t seed) {
  return std::visit([&](const auto& one) { return one.prepare(start, seed); }, tuning);
}

}  // namespace hypersd::pipeline
