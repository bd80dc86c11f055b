// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/norm.hpp>

namespace hypersd::nn {

/// One head: 3x3 convolution, group norm, leaky ReLU, 1x1 convolution to a map of logits.
template <class T, class D = Cpu>
struct DiscriminatorHead {
  Conv2d<T, D> conv1, conv2;
  GroupNorm<T, D> norm;
};

/// Light heads on the features of a frozen network (a teacher's encoder); they alone are trained.
template <class T, class D = Cpu>
struct Discriminator {
  using value_type = T;
  using device_type = D;
  std::vector<DiscriminatorHead<T, D>> heads;

  Discriminator() = default;
  /// One head for each entry of `channels`, `width` channels wide.
  Discriminator(const std::vector<std::int64_t>& channels, std::int64_t width, std::int64_t groups) {
    for (const std::int64_t c : channels)
      heads.push_back({Conv2d<T, D>(c, width), Conv2d<T, D>(width, 1, 1), GroupNorm<T, D>(width, groups)});
  }
  /// Feature maps -> one map of logits [B, H, W, 1] for each head.
  std::vector<Var<T, D>> operator()(const std::vector<Var<T, D>>& features) const {
    require<ShapeError>(features.size() == heads.size(), "Discriminator: ", features.size(), " feature maps for ",
                        heads.size(), " heads");
    std::vector<Var<T, D>> out;
    for (std::size_t i = 0; i < heads.size(); ++i)
      out.push_back(heads[i].conv2(autograd::leaky_relu(heads[i].norm(heads[i].conv1(features[i])))));
    return out;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    for (std::size_t i = 0; i < heads.size(); ++i) {
      const std::string at = join(prefix, "heads." + std::to_string(i));
      heads[i].conv1.visit(f, at + ".conv1");
      heads[i].norm.visit(f, at + ".norm");
      heads[i].conv2.visit(f, at + ".conv2");
    }
  }
};

}  // namespace hypersd::nn
