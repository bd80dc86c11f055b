// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/norm.hpp>

namespace hypersd::nn {

/// Sizes of a `Classifier`.
struct ClassifierConfig {
  std::int64_t in_channels = 1, classes = 10;
  std::vector<std::int64_t> channels = {32, 64, 64};  ///< one stride-2 stage each; the last is the feature width
  std::int64_t groups = 8;
};

/// A small convolutional classifier whose penultimate layer gives the features of the evaluation metrics.
template <class T, class D = Cpu>
struct Classifier {
  using value_type = T;
  using device_type = D;
  struct Stage {
    Conv2d<T, D> conv1, conv2;
    GroupNorm<T, D> norm1, norm2;
  };
  ClassifierConfig config;
  std::vector<Stage> stages;
  Linear<T, D> head;

  Classifier() = default;
  explicit Classifier(const ClassifierConfig& c) : config(c), head(c.channels.back(), c.classes) {
    std::int64_t in = c.in_channels;
    for (const std::int64_t out : c.channels) {
      stages.push_back({Conv2d<T, D>(in, out, 3, ops::Conv2dOptions{2, 1, -1}), Conv2d<T, D>(out, out),
                        GroupNorm<T, D>(out, c.groups), GroupNorm<T, D>(out, c.groups)});
      in = out;
    }
  }
  /// Images [B, H, W, in_channels] -> features [B, channels.back()].
  Var<T, D> features(const Var<T, D>& x) const {
    auto h = x;
    for (const auto& s : stages) {
      h = s.norm1(s.conv1(h), ops::Activation::silu);
      h = autograd::add(s.norm2(s.conv2(h), ops::Activation::silu), h);
    }
    return autograd::mean_positions(h);
  }
  /// Logits [B, classes].
  Var<T, D> operator()(const Var<T, D>& x) const { return head(features(x)); }

  template <class F>
  void visit(F&& f, const std::string& prefix) {
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const std::string at = join(prefix, "stages." + std::to_string(i));
      stages[i].conv1.visit(f, at + ".conv1");
      stages[i].norm1.visit(f, at + ".norm1");
      stages[i].conv2.visit(f, at + ".conv2");
      stages[i].norm2.visit(f, at + ".norm2");
    }
    head.visit(f, join(prefix, "head"));
  }
};

}  // namespace hypersd::nn
