// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/norm.hpp>

namespace hypersd::nn {

/// Sizes of a discriminator on feature maps.
struct DiscriminatorConfig {
  std::vector<std::int64_t> feature_channels{32, 64, 64};  ///< channels of each map, see `Unet::feature_channels`
  std::int64_t hidden = 64;                                ///< width of each head
  std::int64_t norm_num_groups = 8;                        ///< a divisor of `hidden`
  double slope = 0.2;                                      ///< slope of the leaky ReLU below 0
};

/// One head: conv, norm, leaky ReLU; the same again as a residual; a 1x1 convolution to a map of logits.
template <Scalar T, Device D = Cpu>
struct DiscriminatorHead {
  using value_type = T;
  using device_type = D;

  Conv2d<T, D> conv_in;
  GroupNorm<T, D> norm_in;
  Conv2d<T, D> conv_mid;
  GroupNorm<T, D> norm_mid;
  Conv2d<T, D> conv_out;
  double slope = 0.2;

  DiscriminatorHead() = default;
  DiscriminatorHead(std::int64_t in, std::int64_t hidden, std::int64_t groups, double slope_)
      : conv_in(in, hidden),
        norm_in(groups, hidden),
        conv_mid(hidden, hidden),
        norm_mid(groups, hidden),
        conv_out(hidden, 1, 1),
        slope(slope_) {}
  /// Features [B, H, W, in] -> logits [B, H, W, 1].
  Var<T, D> operator()(const Var<T, D>& x) const {
    const auto h = autograd::leaky_relu(norm_in(conv_in(x)), slope);
    return conv_out(autograd::add(h, autograd::leaky_relu(norm_mid(conv_mid(h)), slope)));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv_in", conv_in, "norm_in", norm_in, "conv_mid", conv_mid, "norm_mid", norm_mid,
                  "conv_out", conv_out);
  }
};

/// One head for each feature map of a frozen network, for example the teacher's encoder.
template <Scalar T, Device D = Cpu>
struct Discriminator {
  using value_type = T;
  using device_type = D;

  DiscriminatorConfig config;
  std::vector<DiscriminatorHead<T, D>> heads;

  Discriminator() = default;
  explicit Discriminator(const DiscriminatorConfig& c) : config(c) {
    for (const std::int64_t channels : c.feature_channels)
      heads.emplace_back(channels, c.hidden, c.norm_num_groups, c.slope);
  }
  /// Logit maps [B, H_i, W_i, 1], one for each feature map. Throws ShapeError for another number of maps.
  [[nodiscard]] std::vector<Var<T, D>> maps(const std::vector<Var<T, D>>& features) const {
    require<ShapeError>(features.size() == heads.size(), "Discriminator: ", features.size(), " feature maps for ",
                        heads.size(), " heads");
    std::vector<Var<T, D>> out;
    for (std::size_t i = 0; i < heads.size(); ++i) out.push_back(heads[i](features[i]));
    return out;
  }
  /// The mean logit of each head: [B, heads], positive for "real".
  Var<T, D> operator()(const std::vector<Var<T, D>>& features) const {
    std::vector<Var<T, D>> logits;
    for (const auto& map : maps(features)) logits.push_back(autograd::mean_positions(map));
    return autograd::concat_channels(logits);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "heads", heads);
  }
};

}  // namespace hypersd::nn
