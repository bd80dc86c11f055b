// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/attention.hpp>
#include <utility>

namespace hypersd::nn {

/// Joins tokens [B, N, C] and [B, M, C] to [B, N + M, C].
template <class T, class D>
Var<T, D> concat_tokens(const Var<T, D>& a, const Var<T, D>& b) {
  const auto rows = [](const Var<T, D>& x) { return autograd::reshape(x, Shape{x.dim(0), x.dim(1) * x.dim(2)}); };
  return autograd::reshape(autograd::concat_channels(rows(a), rows(b)), Shape{a.dim(0), a.dim(1) + b.dim(1), a.dim(2)});
}
/// Tokens [begin, end) of x [B, N, C].
template <class T, class D>
Var<T, D> slice_tokens(const Var<T, D>& x, std::int64_t begin, std::int64_t end) {
  const auto rows = autograd::reshape(x, Shape{x.dim(0), x.dim(1) * x.dim(2)});
  return autograd::reshape(autograd::slice_channels(rows, begin * x.dim(2), end * x.dim(2)),
                           Shape{x.dim(0), end - begin, x.dim(2)});
}

/// Attention of image and text to both at once, each with projections of its own (Esser et al., arXiv 2403.03206,
/// Figure 2b), with the parameter names of diffusers: those of `Attention`, and `add_q_proj`, `add_k_proj`,
/// `add_v_proj`, `to_add_out` of the text.
template <Scalar T, Device D = Cpu>
struct JointAttention {
  using value_type = T;
  using device_type = D;

  Linear<T, D> to_q, to_k, to_v, to_out, add_q_proj, add_k_proj, add_v_proj;
  std::optional<Linear<T, D>> to_add_out;
  std::optional<RmsNorm<T, D>> norm_q, norm_k, norm_added_q, norm_added_k;
  std::int64_t heads = 1;

  JointAttention() = default;
  /// `qk_norm`: see `Attention`. Without `text_result` the text is attended to only: the last block of a network.
  /// Throws OptionError unless `heads` divides `channels`.
  JointAttention(std::int64_t channels, std::int64_t heads_, bool qk_norm, bool text_result)
      : to_q(channels, channels),
        to_k(channels, channels),
        to_v(channels, channels),
        to_out(channels, channels),
        add_q_proj(channels, channels),
        add_k_proj(channels, channels),
        add_v_proj(channels, channels),
        heads(heads_) {
    require<OptionError>(heads >= 1 && channels % heads == 0, "joint attention: ", heads, " heads do not divide ",
                         channels, " channels");
    if (text_result) to_add_out.emplace(channels, channels);
    if (!qk_norm) return;
    for (auto* norm : {&norm_q, &norm_k, &norm_added_q, &norm_added_k}) norm->emplace(channels / heads);
  }
  /// Results for image x [B, N, C] and text [B, L, C]; the second is undefined without a text result.
  std::pair<Var<T, D>, Var<T, D>> operator()(const Var<T, D>& x, const Var<T, D>& text) const {
    const auto of = [&](const std::optional<RmsNorm<T, D>>& norm, const Linear<T, D>& project, const Var<T, D>& from) {
      return detail::normalized_heads(norm, project(from), heads);
    };
    const auto k = concat_tokens(of(norm_k, to_k, x), of(norm_added_k, add_k_proj, text));
    const auto v = concat_tokens(to_v(x), add_v_proj(text));
    auto q = of(norm_q, to_q, x);
    if (!to_add_out) return {to_out(autograd::attention(q, k, v, heads)), {}};
    q = concat_tokens(q, of(norm_added_q, add_q_proj, text));
    const auto y = autograd::attention(q, k, v, heads);
    return {to_out(slice_tokens(y, 0, x.dim(1))), (*to_add_out)(slice_tokens(y, x.dim(1), y.dim(1)))};
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm_q", norm_q, "norm_k", norm_k, "to_q", to_q, "to_k", to_k, "to_v", to_v, "add_k_proj",
                  add_k_proj, "add_v_proj", add_v_proj, "add_q_proj", add_q_proj, "to_out.0", to_out, "to_add_out",
                  to_add_out, "norm_added_q", norm_added_q, "norm_added_k", norm_added_k);
  }
};

}  // namespace hypersd::nn
