// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_gated.hpp>
#include <hypersd/nn/attention.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/norm.hpp>

namespace hypersd::nn {

/// linear C -> 2 factor C, GEGLU, linear factor C -> C; parameter names `net.0.proj` and `net.2`.
template <Scalar T, Device D = Cpu>
struct FeedForward {
  using value_type = T;
  using device_type = D;

  Linear<T, D> proj, out;

  FeedForward() = default;
  explicit FeedForward(std::int64_t channels, std::int64_t factor = 4)
      : proj(channels, 2 * factor * channels), out(factor * channels, channels) {}
  Var<T, D> operator()(const Var<T, D>& x) const { return out(autograd::geglu(proj(x))); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "net.0.proj", proj, "net.2", out);
  }
};

/// h += attn1(LN h); h += attn2(LN h, tokens); h += ff(LN h).
template <Scalar T, Device D = Cpu>
struct BasicTransformerBlock {
  using value_type = T;
  using device_type = D;

  LayerNorm<T, D> norm1;
  Attention<T, D> attn1;
  std::optional<LayerNorm<T, D>> norm2;
  std::optional<Attention<T, D>> attn2;
  LayerNorm<T, D> norm3;
  FeedForward<T, D> ff;

  BasicTransformerBlock() = default;
  /// `context` 0: no cross-attention.
  BasicTransformerBlock(std::int64_t channels, std::int64_t heads, std::int64_t context)
      : norm1(channels), attn1(channels, heads), norm3(channels), ff(channels) {
    if (context > 0) {
      norm2.emplace(channels);
      attn2.emplace(channels, heads, context);
    }
  }
  /// h [B, N, C], tokens [B, L, context].
  Var<T, D> operator()(Var<T, D> h, const Var<T, D>& tokens) const {
    h = autograd::add(h, attn1(norm1(h)));
    if (attn2) h = autograd::add(h, (*attn2)((*norm2)(h), tokens));
    return autograd::add(h, ff(norm3(h)));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm1", norm1, "attn1", attn1, "norm2", norm2, "attn2", attn2, "norm3", norm3, "ff", ff);
  }
};

/// Sizes of a spatial transformer.
struct Transformer2dOptions {
  std::int64_t channels = 32;          ///< channels of the image
  std::int64_t heads = 4;              ///< attention heads, a divisor of `channels`
  std::int64_t depth = 1;              ///< transformer blocks
  std::int64_t context = 0;            ///< width of the text tokens, 0: no cross-attention
  bool use_linear_projection = false;  ///< input and output projections: linear (SDXL) or 1x1 convolution (SD 1.x)
  std::int64_t norm_groups = 32;       ///< of a norm with epsilon 1e-6, unlike the others of the network
};

/// Transformer over the positions of an image: group norm, projection, blocks, projection, residual.
/// With channels last a 1x1 convolution and a linear projection are the same matmul; only their shapes in files differ.
template <Scalar T, Device D = Cpu>
struct Transformer2d {
  using value_type = T;
  using device_type = D;

  GroupNorm<T, D> norm;
  std::optional<Linear<T, D>> linear_in, linear_out;
  std::optional<Conv2d<T, D>> conv_in, conv_out;
  std::vector<BasicTransformerBlock<T, D>> transformer_blocks;

  Transformer2d() = default;
  explicit Transformer2d(const Transformer2dOptions& o) : norm(o.norm_groups, o.channels, 1e-6) {
    if (o.use_linear_projection) {
      linear_in.emplace(o.channels, o.channels);
      linear_out.emplace(o.channels, o.channels);
    } else {
      conv_in.emplace(o.channels, o.channels, 1);
      conv_out.emplace(o.channels, o.channels, 1);
    }
    for (std::int64_t i = 0; i < o.depth; ++i) transformer_blocks.emplace_back(o.channels, o.heads, o.context);
  }
  /// x [B, H, W, C], tokens [B, L, context].
  Var<T, D> operator()(const Var<T, D>& x, const Var<T, D>& tokens) const {
    auto h = norm(x);
    h = linear_in ? (*linear_in)(h) : (*conv_in)(h);
    h = autograd::reshape(h, Shape{x.dim(0), x.dim(1) * x.dim(2), x.dim(3)});
    for (const auto& block : transformer_blocks) h = block(h, tokens);
    h = autograd::reshape(h, x.shape());
    return autograd::add(x, linear_out ? (*linear_out)(h) : (*conv_out)(h));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm", norm, "proj_in", linear_in, "proj_in", conv_in, "transformer_blocks",
                  transformer_blocks, "proj_out", linear_out, "proj_out", conv_out);
  }
};

}  // namespace hypersd::nn
