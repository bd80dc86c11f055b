// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/norm.hpp>

namespace hypersd::nn {

/// Sizes of a residual block.
struct ResnetOptions {
  std::int64_t in = 32, out = 32;  ///< channels of input and output
  std::int64_t embedding = 0;      ///< width of the time embedding, 0: none
  std::int64_t groups = 32;        ///< groups of both norms, a divisor of `in` and `out`
  double eps = 1e-5;               ///< epsilon of both norms
};

/// shortcut(x) + conv2(silu(norm2(conv1(silu(norm1 x)) + proj(e)))).
template <Scalar T, Device D = Cpu>
struct ResnetBlock {
  using value_type = T;
  using device_type = D;

  GroupNorm<T, D> norm1;
  Conv2d<T, D> conv1;
  std::optional<Linear<T, D>> time_emb_proj;
  GroupNorm<T, D> norm2;
  Conv2d<T, D> conv2;
  std::optional<Conv2d<T, D>> conv_shortcut;

  ResnetBlock() = default;
  explicit ResnetBlock(const ResnetOptions& o)
      : norm1(o.groups, o.in, o.eps), conv1(o.in, o.out), norm2(o.groups, o.out, o.eps), conv2(o.out, o.out) {
    if (o.embedding > 0) time_emb_proj.emplace(o.embedding, o.out);
    if (o.in != o.out) conv_shortcut.emplace(o.in, o.out, 1);
  }
  /// x [B, H, W, in]; `e` [B, embedding] is silu(time embedding), computed once for all blocks (undefined if unused).
  Var<T, D> operator()(const Var<T, D>& x, const Var<T, D>& e = {}) const {
    auto h = conv1(norm1(x, ops::Activation::silu));
    if (time_emb_proj) h = autograd::add(h, ops::per_channel((*time_emb_proj)(e)));
    h = conv2(norm2(h, ops::Activation::silu));
    return autograd::add(conv_shortcut ? (*conv_shortcut)(x) : x, h);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm1", norm1, "conv1", conv1, "time_emb_proj", time_emb_proj, "norm2", norm2, "conv2",
                  conv2, "conv_shortcut", conv_shortcut);
  }
};

}  // namespace hypersd::nn
