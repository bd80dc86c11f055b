// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/timestep_embedding.hpp>
#include <utility>

namespace hypersd::nn {

/// A denoiser (`Unet`, `PixArt`) that gives several predictions at once, the student of policy-based flow
/// (distill/policy.hpp). Only its last layer is wider than that of the network it begins as. Parameters are those of
/// that network.
template <Module Net>
struct PolicyNetwork {
  using value_type = typename Net::value_type;
  using device_type = typename Net::device_type;
  using Condition = typename Net::Condition;
  using T = value_type;
  using D = device_type;

  Net net;

  /// A student of `network`: a copy whose `nodes` predictions all begin as its own, without a predicted variance. The
  /// last layer may not have an adapter. Throws OptionError for no node, or an adapter there.
  static PolicyNetwork student_of(const Net& network, std::int64_t nodes) {
    PolicyNetwork out{deep_copy(network)};
    auto& layer = last_layer(out.net);
    auto& config = config_of(out.net);
    require<OptionError>(nodes >= 1 && layer.adapters.empty(), "policy network: ", nodes,
                         " predictions of a layer with ", layer.adapters.size(),
                         " adapters; at least one prediction and none (merge_lora) needed");
    // Rows are ordered (place in a patch, channel).
    const std::int64_t given = config.out_channels, each = config.in_channels, places = layer.weight.dim(0) / given;
    for (auto* p : {&layer.weight, &layer.bias}) {
      const Tensor<T, D> from = p->get().value();
      Tensor<T, D> rows(from.shape().with(0, places * nodes * each));
      for (std::int64_t i = 0; i < places * nodes; ++i)
        rows.slice(i * each, (i + 1) * each).copy_from(from.slice(i / nodes * given, i / nodes * given + each));
      const bool trained = p->requires_grad();
      *p = {rows.shape(), p->initializer()};
      p->assign(rows);
      p->set_requires_grad(trained);
    }
    config.out_channels = nodes * each;
    return out;
  }
  /// Number of predictions.
  [[nodiscard]] std::int64_t nodes() const { return config_of(net).out_channels / config_of(net).in_channels; }

  /// Predictions [B, H, W, nodes() C], one after the other, for samples x [B, H, W, C] at training times t [B]. Throws
  /// as the network inside.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition) const {
    if constexpr (requires { net.with_variance(x, t, condition); })
      return net.with_variance(x, t, condition);
    else
      return net(x, t, condition);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    net.visit(f, prefix);
  }

 private:
  template <class N>
  static auto& last_layer(N& net) {
    if constexpr (requires { net.conv_out; })
      return net.conv_out;
    else
      return net.proj_out;
  }
  template <class N>
  static auto& config_of(N& net) {
    if constexpr (requires { net.encoder.config; })
      return net.encoder.config;
    else
      return net.config;
  }
};

}  // namespace hypersd::nn
