// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_normalize.hpp>
#include <hypersd/nn/module.hpp>

namespace hypersd::nn {

/// Group normalization with a gain and an offset per channel.
template <Scalar T, Device D = Cpu>
struct GroupNorm {
  using value_type = T;
  using device_type = D;

  Parameter<T, D> weight, bias;
  std::int64_t groups = 1;
  double eps = 1e-5;

  GroupNorm() = default;
  /// Throws OptionError unless `groups` divides `channels`.
  GroupNorm(std::int64_t groups_, std::int64_t channels, double eps_ = 1e-5)
      : weight(Shape{channels}, Initializer::ones()),
        bias(Shape{channels}, Initializer::zeros()),
        groups(groups_),
        eps(eps_) {
    require<OptionError>(groups >= 1 && channels % groups == 0, "group norm: ", groups, " groups do not divide ",
                         channels, " channels");
  }
  /// x [B, ..., C]; `activation` is applied in the same pass.
  Var<T, D> operator()(const Var<T, D>& x, ops::Activation activation = ops::Activation::none) const {
    return autograd::group_norm(x, weight.get(), bias.get(), groups, eps, activation);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "weight", weight, "bias", bias);
  }
};

/// Layer normalization over the last axis.
template <Scalar T, Device D = Cpu>
struct LayerNorm {
  using value_type = T;
  using device_type = D;

  Parameter<T, D> weight, bias;
  double eps = 1e-5;

  LayerNorm() = default;
  explicit LayerNorm(std::int64_t channels, double eps_ = 1e-5)
      : weight(Shape{channels}, Initializer::ones()), bias(Shape{channels}, Initializer::zeros()), eps(eps_) {}
  /// x [..., C].
  Var<T, D> operator()(const Var<T, D>& x) const { return autograd::layer_norm(x, weight.get(), bias.get(), eps); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "weight", weight, "bias", bias);
  }
};

/// Root mean square normalization over the last axis, with a gain.
template <Scalar T, Device D = Cpu>
struct RmsNorm {
  using value_type = T;
  using device_type = D;

  Parameter<T, D> weight;
  double eps = 1e-6;

  RmsNorm() = default;
  explicit RmsNorm(std::int64_t channels, double eps_ = 1e-6)
      : weight(Shape{channels}, Initializer::ones()), eps(eps_) {}
  /// x [..., C].
  Var<T, D> operator()(const Var<T, D>& x) const { return autograd::rms_norm(x, weight.get(), eps); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "weight", weight);
  }
};

}  // namespace hypersd::nn
