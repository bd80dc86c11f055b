// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/nn/linear.hpp>

namespace hypersd::nn {

/// Multi-head attention with the parameter names of diffusers: `to_q`, `to_k`, `to_v`, `to_out.0`.
template <Scalar T, Device D = Cpu>
struct Attention {
  using value_type = T;
  using device_type = D;

  Linear<T, D> to_q, to_k, to_v, to_out;
  std::int64_t heads = 1;

  Attention() = default;
  /// `context` is the width of the attended tokens, 0 for self-attention. `heads` is the number of heads (configuration
  /// files of Stable Diffusion call it `attention_head_dim`). `qkv_bias` gives the projections a bias (autoencoder).
  /// Throws OptionError unless `heads` divides `channels`.
  Attention(std::int64_t channels, std::int64_t heads_, std::int64_t context = 0, bool qkv_bias = false)
      : to_q(channels, channels, qkv_bias),
        to_k(context ? context : channels, channels, qkv_bias),
        to_v(context ? context : channels, channels, qkv_bias),
        to_out(channels, channels),
        heads(heads_) {
    require<OptionError>(heads >= 1 && channels % heads == 0, "attention: ", heads, " heads do not divide ", channels,
                         " channels");
  }
  /// Self-attention of x [B, N, C].
  Var<T, D> operator()(const Var<T, D>& x) const { return (*this)(x, x); }
  /// Attention of x [B, N, C] to `context` [B, M, C'].
  Var<T, D> operator()(const Var<T, D>& x, const Var<T, D>& context) const {
    return to_out(autograd::attention(to_q(x), to_k(context), to_v(context), heads));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "to_q", to_q, "to_k", to_k, "to_v", to_v, "to_out.0", to_out);
  }
};

}  // namespace hypersd::nn
