// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/norm.hpp>
#include <optional>

namespace hypersd::nn {

namespace detail {

/// `norm`, if any, of each head of x [B, N, C].
template <class T, class D>
Var<T, D> normalized_heads(const std::optional<RmsNorm<T, D>>& norm, const Var<T, D>& x, std::int64_t heads) {
  if (!norm) return x;
  const Shape split{x.dim(0), x.dim(1), heads, x.dim(2) / heads};
  return autograd::reshape((*norm)(autograd::reshape(x, split)), x.shape());
}

}  // namespace detail

/// Multi-head attention with the parameter names of diffusers: `to_q`, `to_k`, `to_v`, `to_out.0`.
template <Scalar T, Device D = Cpu>
struct Attention {
  using value_type = T;
  using device_type = D;

  Linear<T, D> to_q, to_k, to_v, to_out;
  std::optional<RmsNorm<T, D>> norm_q, norm_k;
  std::int64_t heads = 1;

  Attention() = default;
  /// `context` is the width of the attended tokens, 0 for self-attention. `heads` is the number of heads (configuration
  /// files of Stable Diffusion call it `attention_head_dim`). `qkv_bias` gives the projections a bias (autoencoder).
  /// `qk_norm` normalizes queries and keys of each head by their root mean square (Dehghani et al., 2023). Throws
  /// OptionError unless `heads` divides `channels`.
  Attention(std::int64_t channels, std::int64_t heads_, std::int64_t context = 0, bool qkv_bias = false,
            bool qk_norm = false)
      : to_q(channels, channels, qkv_bias),
        to_k(context ? context : channels, channels, qkv_bias),
        to_v(context ? context : channels, channels, qkv_bias),
        to_out(channels, channels),
        heads(heads_) {
    require<OptionError>(heads >= 1 && channels % heads == 0, "attention: ", heads, " heads do not divide ", channels,
                         " channels");
    if (!qk_norm) return;
    norm_q.emplace(channels / heads);
    norm_k.emplace(channels / heads);
  }
  /// Self-attention of x [B, N, C].
  Var<T, D> operator()(const Var<T, D>& x) const { return (*this)(x, x); }
  /// Attention of x [B, N, C] to `context` [B, M, C'].
  Var<T, D> operator()(const Var<T, D>& x, const Var<T, D>& context) const {
    const auto q = detail::normalized_heads(norm_q, to_q(x), heads);
    const auto k = detail::normalized_heads(norm_k, to_k(context), heads);
    return to_out(autograd::attention(q, k, to_v(context), heads));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm_q", norm_q, "norm_k", norm_k, "to_q", to_q, "to_k", to_k, "to_v", to_v, "to_out.0",
                  to_out);
  }
};

}  // namespace hypersd::nn
