// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/ops/cast.hpp>

/// \file
/// Low-rank adapters (Hu et al., LoRA, arXiv 2106.09685) on the linear and convolution layers of any module:
/// W' = W + sum_i weight_i alpha_i / r_i up_i down_i.

namespace hypersd::nn {

namespace detail {
// One type for all functions of layers, as `Visit` for those of parameters.
template <Scalar T, Device D>
struct VisitLayers : LayerVisitorBase {
  Visit<AdaptedLayer<T, D>> layer;
  template <class F>
  explicit VisitLayers(F& f) : layer(f) {}
  template <class V>
  void operator()(const std::string&, V&) const {}
};
}  // namespace detail

/// Calls `fn(path, layer)` for every linear and convolution layer, as `AdaptedLayer&`.
template <Module M, class Fn>
void for_each_layer(M& net, Fn&& fn, const std::string& prefix = "") {
  const detail::VisitLayers<typename M::value_type, typename M::device_type> visitor(fn);
  net.visit(visitor, prefix);
}

/// The fourteen kinds of layers that published few-step adapters of Stable Diffusion adapt.
inline std::vector<std::string> stable_diffusion_targets() {
  return {"to_q",
          "to_k",
          "to_v",
          "to_out.0",
          "proj_in",
          "proj_out",
          "ff.net.0.proj",
          "ff.net.2",
          "conv1",
          "conv2",
          "conv_shortcut",
          "downsamplers.0.conv",
          "upsamplers.0.conv",
          "time_emb_proj"};
}

/// Options of `add_lora`.
struct LoraOptions {
  std::int64_t rank = 32;                 ///< r, at least 1
  double alpha = 0;                       ///< alpha / rank scales the update; 0: alpha = rank, a scale of 1
  std::string name = "default";           ///< adapters of one name belong together
  std::vector<std::string> targets = {};  ///< layers whose path is one of these or ends in `.` and one; empty: all
};

/// Whether `path` is one of `targets` or ends in `.` and one of them; true without targets.
inline bool is_lora_target(const std::string& path, const std::vector<std::string>& targets) {
  if (targets.empty()) return true;
  for (const std::string& t : targets) {
    if (path == t) return true;
    if (path.size() > t.size() && path.compare(path.size() - t.size(), t.size(), t) == 0 &&
        path[path.size() - t.size() - 1] == '.')
      return true;
  }
  return false;
}

/// Adds an adapter to each target layer and freezes every other parameter. `down` is Kaiming uniform from the seed,
/// `up` is zero, so that the module computes the same as before until the first update. In layers that have no values
/// yet the factors are declared only. Returns the number of adapted layers. Throws OptionError for a rank below 1, a
/// name in use, or targets that match no layer.
template <Module M>
std::int64_t add_lora(M& net, const LoraOptions& options = {}, std::uint64_t seed = 0) {
  using T = typename M::value_type;
  using D = typename M::device_type;
  require<OptionError>(options.rank >= 1 && !options.name.empty(), "add_lora: rank ", options.rank, ", name '",
                       options.name, "'");
  std::int64_t layers = 0;
  for_each_layer(net, [&](const std::string& path, AdaptedLayer<T, D>& layer) {
    if (!is_lora_target(path, options.targets)) return;
    require<OptionError>(layer.find_adapter(options.name) == nullptr, "add_lora: layer '", path,
                         "' already has an adapter called '", options.name, "'");
    ++layers;
  });
  require<OptionError>(layers > 0, "add_lora: no layer matches the targets");
  auto freeze = [](const std::string&, auto& p) {
    if (!p.adapter()) p.set_requires_grad(false);
  };
  visit_parameters(net, freeze);
  const double alpha = options.alpha > 0 ? options.alpha : static_cast<double>(options.rank);
  for_each_layer(net, [&](const std::string& path, AdaptedLayer<T, D>& layer) {
    if (!is_lora_target(path, options.targets)) return;
    LoraFactors<T, D> factors(options.name, layer.weight.shape(), options.rank, alpha);
    if (layer.weight.has_values()) {
      init_parameter(factors.down, seed, join(path, "lora_A." + options.name + ".weight"));
      init_parameter(factors.up, seed, join(path, "lora_B." + options.name + ".weight"));
    }
    layer.adapters.push_back(std::move(factors));
  });
  return layers;
}

/// The trainable factors of adapter `name`, in the order of layers.
template <Module M>
std::vector<NamedVar<typename M::value_type, typename M::device_type>> lora_parameters(
    M& net, const std::string& name = "default") {
  using T = typename M::value_type;
  using D = typename M::device_type;
  std::vector<NamedVar<T, D>> list;
  for_each_layer(net, [&](const std::string& path, AdaptedLayer<T, D>& layer) {
    if (auto* a = layer.find_adapter(name)) {
      list.push_back({join(path, "lora_A." + name + ".weight"), a->down});
      list.push_back({join(path, "lora_B." + name + ".weight"), a->up});
    }
  });
  return list;
}

/// Number of adapted layers and of values in the factors of adapter `name`; counted from shapes.
template <Module M>
ParameterCount lora_count(const M& net, const std::string& name = "default") {
  ParameterCount n;
  M handles = net;
  for_each_layer(handles, [&](const std::string&, auto& layer) {
    if (auto* a = layer.find_adapter(name)) {
      n.elements += a->down.size() + a->up.size();
      ++n.tensors;
    }
  });
  return n;
}

/// Sets the strength of the named adapters; others keep theirs. Throws OptionError for a name that no layer has.
template <Module M>
void set_lora_weights(M& net, const std::map<std::string, double>& weights) {
  std::set<std::string> unknown;
  for (const auto& w : weights) unknown.insert(w.first);
  for_each_layer(net, [&](const std::string&, auto& layer) {
    for (auto& a : layer.adapters)
      if (const auto it = weights.find(a.name); it != weights.end()) {
        a.weight = it->second;
        unknown.erase(a.name);
      }
  });
  require<OptionError>(unknown.empty(), "set_lora_weights: no adapter called '",
                       unknown.empty() ? "" : *unknown.begin(), "'");
}

namespace detail {

/// A merged weight in 16 bits, half or bfloat16. Throws NumericError if a value is beyond its range.
inline ConstantTensor rounded_sum(const Tensor<float>& sum, bool is_half, const std::string& path) {
  const auto round = [&]<class N>(N) {
    const Tensor<N> out = ops::cast<N>(sum);
    for (std::int64_t i = 0; i < out.size(); ++i)
      require<NumericError>(std::isfinite(widened(out[i])), "merge_lora: layer '", path, "' has ", sum[i],
                            ", beyond the range of its 16-bit weights: merge exactly, in float32");
    return ConstantTensor(out);
  };
  return is_half ? round(half()) : round(bfloat16());
}

}  // namespace detail

/// What `merge_lora` makes of a weight that is held in 16 bits.
enum class MergedWeights {
  exact,     ///< float32, with the results of adapters at run time
  as_stored  ///< the sum is rounded once to the 16-bit type of the weight: no more memory
};

/// A copy with the adapters merged into the weights; merged weights are not trainable. Weights without an adapter,
/// biases and norms are shared with `net`, which keeps its own to the last bit. `weights` overrides the strength of
/// adapters by name. Throws NumericError naming the layer if a rounded sum is beyond the range of its type.
template <Module M>
M merge_lora(const M& net, const std::map<std::string, double>& weights = {},
             [[maybe_unused]] MergedWeights merged = MergedWeights::exact) {
  using T = typename M::value_type;
  using D = typename M::device_type;
  const autograd::NoGrad guard;
  M out = net;
  if (!weights.empty()) set_lora_weights(out, weights);
  for_each_layer(out, [&](const std::string& path, AdaptedLayer<T, D>& layer) {
    if (layer.adapters.empty()) return;
    if constexpr (Parameter<T, D>::can_keep)
      if (const ConstantTensor& kept = layer.weight.kept();
          kept.defined() && kept.narrow() && merged == MergedWeights::as_stored) {
        if (layer.adapted())
          layer.weight.keep(detail::rounded_sum(layer.effective_weight().value(), kept.is_half(), path));
        return layer.adapters.clear();
      }
    if (layer.adapted())
      layer.weight.bind(Var<T, D>(layer.effective_weight().value()));
    else if (layer.weight.defined())
      layer.weight.bind(Var<T, D>(layer.weight.value().clone()));
    layer.adapters.clear();
  });
  return out;
}

/// Removes adapter `name` from all layers. The base weights have never changed.
template <Module M>
void remove_lora(M& net, const std::string& name = "default") {
  for_each_layer(net, [&](const std::string&, auto& layer) {
    std::erase_if(layer.adapters, [&](const auto& a) { return a.name == name; });
  });
}

}  // namespace hypersd::nn
