// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/nn/module.hpp>
#include <hypersd/nn/timestep_embedding.hpp>
#include <utility>
#include <variant>
#include <vector>

namespace hypersd::nn {

/// A denoiser whose architecture is chosen at run time: one of `First` and `Rest`, which have one element type, device
/// and condition, such as `Unet` and `PixArt`. Code that trains and samples is compiled once for all of them.
/// Parameters have the names of the chosen network, and the results are its own, bit for bit.
template <Module First, Module... Rest>
class OneOf {
 public:
  using value_type = typename First::value_type;
  using device_type = typename First::device_type;
  using Condition = typename First::Condition;
  static_assert((std::same_as<typename Rest::value_type, value_type> && ...) &&
                    (std::same_as<typename Rest::device_type, device_type> && ...) &&
                    (std::same_as<typename Rest::Condition, Condition> && ...),
                "the networks of a OneOf need the same element type, device and condition");

  /// A default-constructed `First`.
  OneOf() = default;
  /// Holds `net`, and shares its parameters as a copy does.
  template <class Net>
  requires(std::same_as<Net, First> || (std::same_as<Net, Rest> || ...)) OneOf(Net net)
      : net_(std::move(net)) {}  // NOLINT(google-explicit-constructor)

  /// The network if it is a `Net`, or a null pointer.
  template <class Net>
  [[nodiscard]] Net* get_if() {
    return std::get_if<Net>(&net_);
  }
  template <class Net>
  [[nodiscard]] const Net* get_if() const {
    return std::get_if<Net>(&net_);
  }

  /// Prediction for samples x at times t [B].
  Var<value_type, device_type> operator()(const Var<value_type, device_type>& x,
                                          const Times<value_type, device_type>& t, const Condition& condition) const {
    return std::visit([&](const auto& net) { return net(x, t, condition); }, net_);
  }
  /// Feature maps for a discriminator.
  [[nodiscard]] std::vector<Var<value_type, device_type>> features(const Var<value_type, device_type>& x,
                                                                   const Times<value_type, device_type>& t,
                                                                   const Condition& condition) const {
    return std::visit([&](const auto& net) { return net.features(x, t, condition); }, net_);
  }
  /// Channels of what `features` returns.
  [[nodiscard]] std::vector<std::int64_t> feature_channels() const {
    return std::visit([](const auto& net) { return net.feature_channels(); }, net_);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    std::visit([&](auto& net) { net.visit(f, prefix); }, net_);
  }

 private:
  std::variant<First, Rest...> net_;
};

}  // namespace hypersd::nn
