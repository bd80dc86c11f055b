// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/norm.hpp>

namespace hypersd::nn {

/// Sizes of a small classifier; the default suits 32 x 32 x 1 images (169 thousand parameters).
struct ClassifierConfig {
  std::int64_t in_channels = 1;  ///< channels of images
  std::int64_t classes = 10;     ///< number of classes
  /// Width of each level; the first convolution of each halves the size.
  std::vector<std::int64_t> channels{24, 48, 96};
  std::int64_t features = 64;        ///< width of the features before the head
  std::int64_t norm_num_groups = 8;  ///< a divisor of all widths
};

/// silu(group norm(conv x)), plus x if `residual`.
template <Scalar T, Device D = Cpu>
struct ConvNormSilu {
  using value_type = T;
  using device_type = D;

  Conv2d<T, D> conv;
  GroupNorm<T, D> norm;
  bool residual = false;

  ConvNormSilu() = default;
  ConvNormSilu(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t groups,
               bool residual_ = false)
      : conv(in, out, kernel, stride), norm(groups, out), residual(residual_) {}
  Var<T, D> operator()(const Var<T, D>& x) const {
    const auto h = norm(conv(x), ops::Activation::silu);
    return residual ? autograd::add(x, h) : h;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv", conv, "norm", norm);
  }
};

/// The blocks of `Classifier` and `RewardModel`: two a level, then one to the width of the features.
template <Scalar T, Device D, class Config>
std::vector<ConvNormSilu<T, D>> conv_blocks(const Config& c) {
  std::vector<ConvNormSilu<T, D>> blocks;
  std::int64_t in = c.in_channels;
  for (const std::int64_t out : c.channels) {
    blocks.emplace_back(in, out, 3, 2, c.norm_num_groups);
    blocks.emplace_back(out, out, 3, 1, c.norm_num_groups, true);
    in = out;
  }
  blocks.emplace_back(in, c.features, 1, 1, c.norm_num_groups);
  return blocks;
}

/// Convolutional classifier. Its pooled features serve for Frechet distances.
template <Scalar T, Device D = Cpu>
struct Classifier {
  using value_type = T;
  using device_type = D;

  ClassifierConfig config;
  std::vector<ConvNormSilu<T, D>> blocks;
  Linear<T, D> head;

  Classifier() = default;
  explicit Classifier(const ClassifierConfig& c);
  /// Images [B, H, W, in_channels] -> penultimate features [B, features].
  [[nodiscard]] Var<T, D> features(const Var<T, D>& x) const;
  /// Images -> logits [B, classes].
  Var<T, D> operator()(const Var<T, D>& x) const { return head(features(x)); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "blocks", blocks, "head", head);
  }
};

template <Scalar T, Device D>
Classifier<T, D>::Classifier(const ClassifierConfig& c)
    : config(c), blocks(conv_blocks<T, D>(c)), head(c.features, c.classes) {}

template <Scalar T, Device D>
Var<T, D> Classifier<T, D>::features(const Var<T, D>& x) const {
  auto h = x;
  for (const auto& block : blocks) h = block(h);
  return autograd::mean_positions(h);
}

}  // namespace hypersd::nn
