// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/nn/module.hpp>
#include <map>

/// \file
/// Low-rank adapters (Hu et al. 2021). The adapted weight W + sum_i m_i alpha_i / r_i B_i A_i is formed first and used
/// in one product: base and adapters cost a single convolution, and merging is keeping the sum.

namespace hypersd::nn {

/// One adapter of one layer whose weight is W [out, ...in]: A is `down` [r, in], B is `up` [out, r].
template <class T, class D>
struct LoraFactors {
  std::string name;
  Var<T, D> down, up;
  double alpha = 1;   ///< the delta is scaled by alpha / r
  double weight = 1;  ///< strength with which this adapter is mixed in
  [[nodiscard]] std::int64_t rank() const { return down.dim(0); }
  [[nodiscard]] double scale() const { return weight * alpha / static_cast<double>(rank()); }
};

/// W plus all adapters' deltas, differentiable with respect to the factors (and W, if it is not frozen).
template <class T, class D>
Var<T, D> adapted_weight(const Var<T, D>& weight, const std::vector<LoraFactors<T, D>>& adapters) {
  Var<T, D> out = weight;
  for (const auto& a : adapters) {
    if (a.weight == 0) continue;
    const auto delta = autograd::reshape(autograd::matmul(a.up, a.down), weight.shape());
    out = autograd::linear_combination(1, out, static_cast<T>(a.scale()), delta);
  }
  return out;
}

/// Settings of `add_lora`.
struct LoraOptions {
  std::int64_t rank = 32;
  double alpha = 0;             ///< 0: as the rank, so that the delta is B A
  std::string name = "default"; ///< adapters are told apart by name
  std::vector<std::string> targets = {};  ///< layers whose path ends in one of these; empty: every linear and conv layer
};

/// The fourteen kinds of layer that Stable Diffusion adapters train.
inline std::vector<std::string> stable_diffusion_lora_targets() {
  return {"to_q",  "to_k",  "to_v",          "to_out.0",      "proj_in",          "proj_out",         "ff.net.0.proj", "ff.net.2",
          "conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv"};
}

namespace detail {

inline bool is_target(const std::string& path, const std::vector<std::string>& targets) {
  if (targets.empty()) return true;
  for (const auto& t : targets) {
    if (path.size() < t.size() || path.compare(path.size() - t.size(), t.size(), t) != 0) continue;
    if (path.size() == t.size() || path[path.size() - t.size() - 1] == '.') return true;
  }
  return false;
}

}  // namespace detail

/// Adds an adapter to every targeted layer of `module` and freezes all base parameters of that copy. A starts uniform
/// in +-1/sqrt(fan_in), B zero: at first the module computes exactly what it did. Returns the number of layers.
template <class M>
int add_lora(M& module, const LoraOptions& options, std::uint64_t seed) {
  using T = typename M::value_type;
  using D = typename M::device_type;
  require<OptionError>(options.rank >= 1, "LoRA rank ", options.rank, " is below 1");
  int layers = 0;
  module.visit_layers(
      [&](const std::string& path, auto& layer) {
        if (!detail::is_target(path, options.targets)) return;
        for (const auto& a : layer.adapters)
          require<OptionError>(a.name != options.name, "layer ", path, " has an adapter named ", options.name, " already");
        const std::int64_t out = layer.weight.dim(0), in = layer.weight.size() / out;
        const T bound = T(1) / std::sqrt(static_cast<T>(in));
        const Stream s = stream(seed, path + ".lora_A." + options.name);
        LoraFactors<T, D> factors{options.name,
                                  Var<T, D>(ops::uniform<T, D>(Shape{options.rank, in}, s, -bound, bound), true),
                                  Var<T, D>(Tensor<T, D>::zeros(Shape{out, options.rank}), true),
                                  options.alpha > 0 ? options.alpha : static_cast<double>(options.rank)};
        layer.adapters.push_back(std::move(factors));
        ++layers;
      },
      {});
  require<OptionError>(layers > 0, "add_lora: no layer matches the targets");
  return layers;
}

/// The factors of adapter `name` as named parameters: "<path>.lora_A.weight" and "<path>.lora_B.weight".
template <class M>
auto lora_parameters(M& module, const std::string& name = "default") {
  std::vector<NamedParameter<typename M::value_type, typename M::device_type>> out;
  module.visit_layers(
      [&](const std::string& path, auto& layer) {
        for (auto& a : layer.adapters) {
          if (a.name != name) continue;
          out.push_back({{path + ".lora_A.weight", a.down.shape()}, &a.down});
          out.push_back({{path + ".lora_B.weight", a.up.shape()}, &a.up});
        }
      },
      {});
  return out;
}

/// A copy whose adapters have factors of their own, equal in value (an EMA target, say); the base stays shared.
template <class M>
M copy_adapters(const M& module, bool requires_grad) {
  M out = module;
  out.visit_layers(
      [&](const std::string&, auto& layer) {
        for (auto& a : layer.adapters) {
          using V = std::remove_cvref_t<decltype(a.down)>;
          a.down = V(a.down.value().clone(), requires_grad);
          a.up = V(a.up.value().clone(), requires_grad);
        }
      },
      {});
  return out;
}

/// A copy without adapters whose weights are the adapted ones; nothing in it requires a gradient.
template <class M>
M merge_lora(const M& module) {
  const autograd::NoGrad guard;
  M out = module;
  out.visit_layers(
      [&](const std::string&, auto& layer) {
        if (!layer.adapters.empty()) layer.weight = adapted_weight(layer.weight, layer.adapters).detach();
        layer.adapters.clear();
      },
      {});
  return out;
}

/// A copy without adapters: the base model.
template <class M>
M without_lora(const M& module) {
  M out = module;
  out.visit_layers([](const std::string&, auto& layer) { layer.adapters.clear(); }, {});
  return out;
}

/// Sets the strength of adapter `name` in every layer that has it.
template <class M>
void set_lora_weight(M& module, const std::string& name, double weight) {
  module.visit_layers(
      [&](const std::string&, auto& layer) {
        for (auto& a : layer.adapters)
          if (a.name == name) a.weight = weight;
      },
      {});
}

}  // namespace hypersd::nn
