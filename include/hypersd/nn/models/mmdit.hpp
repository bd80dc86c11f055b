// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/checkpoint.hpp>
#include <hypersd/nn/joint_attention.hpp>
#include <hypersd/nn/models/mmdit_config.hpp>
#include <hypersd/nn/models/unet_encoder.hpp>
#include <hypersd/nn/modulation.hpp>
#include <hypersd/nn/patch_embedding.hpp>
#include <hypersd/nn/timestep_embedding.hpp>
#include <tuple>

namespace hypersd::nn {

/// Image and text tokens side by side: modulated norms, joint attention, feed-forward layers, each with weights of its
/// own for image and text (MM-DiT). In the last block the text is only attended to.
template <Scalar T, Device D = Cpu>
struct MmDitBlock {
  using value_type = T;
  using device_type = D;

  Linear<T, D> norm1, norm1_context;
  JointAttention<T, D> attn;
  std::optional<Attention<T, D>> attn2;
  GeluFeedForward<T, D> ff;
  std::optional<GeluFeedForward<T, D>> ff_context;

  MmDitBlock() = default;
  /// Block number `index` of a network.
  MmDitBlock(const MmDitConfig& c, std::int64_t index)
      : norm1(c.channels(), (c.dual_attention(index) ? 9 : 6) * c.channels()),
        norm1_context(c.channels(), (index + 1 < c.layers ? 6 : 2) * c.channels()),
        attn(c.channels(), c.heads, c.qk_norm, index + 1 < c.layers),
        ff(c.channels()) {
    if (c.dual_attention(index)) attn2.emplace(c.channels(), c.heads, 0, true, c.qk_norm);
    if (index + 1 < c.layers) ff_context.emplace(c.channels());
  }
  /// Whether the text has a result.
  [[nodiscard]] bool text_result() const { return ff_context.has_value(); }
  /// Image h [B, N, C], text [B, L, C] and e = silu(embedding) [B, C] -> image and text after the block.
  std::pair<Var<T, D>, Var<T, D>> operator()(Var<T, D> h, Var<T, D> text, const Var<T, D>& e) const {
    const PlainNorm norm;
    // Of the image [shift, scale, gate of the attention, of the feed-forward layer, of the second attention]; of the
    // text the first six, or [scale, shift] in the last block.
    const auto v = chunks(norm1(e), attn2 ? 9 : 6), w = chunks(norm1_context(e), text_result() ? 6 : 2);
    const auto n = norm(h), m = norm(text);
    const auto [image, words] =
        attn(modulate(n, v[0], v[1]), text_result() ? modulate(m, w[0], w[1]) : modulate(m, w[1], w[0]));
    h = add_gated(h, v[2], image);
    if (attn2) h = add_gated(h, v[8], (*attn2)(modulate(n, v[6], v[7])));
    h = add_gated(h, v[5], ff(modulate(norm(h), v[3], v[4])));
    if (!text_result()) return {h, {}};
    text = add_gated(text, w[2], words);
    return {h, add_gated(text, w[5], (*ff_context)(modulate(norm(text), w[3], w[4])))};
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm1.linear", norm1, "norm1_context.linear", norm1_context, "attn", attn, "attn2", attn2,
                  "ff", ff, "ff_context", ff_context);
  }
};

/// Text-conditional diffusion transformer with joint attention (Esser et al., Stable Diffusion 3, arXiv 2403.03206),
/// channels last, with the parameter names of SD3Transformer2DModel of diffusers. Its condition is that of a UNet:
/// `tokens` [B, L, text_channels] and the pooled text, `added` [B, pooled_channels].
template <Scalar T, Device D = Cpu>
struct MmDit {
  using value_type = T;
  using device_type = D;
  using Condition = UnetCondition<T, D>;

  MmDitConfig config;
  SinusoidalFeatures<T, D> time_features;
  PatchEmbedding<T, D> pos_embed;
  TimestepEmbedding<T, D> timestep_embedder, text_embedder;
  Linear<T, D> context_embedder;
  std::vector<MmDitBlock<T, D>> transformer_blocks;
  Linear<T, D> norm_out, proj_out;

  MmDit() = default;
  /// Declares the parameters; `init_parameters` or `load_state_dict` gives them values. A fresh network predicts 0.
  /// Throws OptionError for a configuration that is inconsistent.
  explicit MmDit(const MmDitConfig& c) : config(c) {
    c.validate();
    const std::int64_t width = c.channels(), features = MmDitConfig::time_features;
    time_features = SinusoidalFeatures<T, D>(features);
    pos_embed = PatchEmbedding<T, D>(c.patches());
    timestep_embedder = {features, width};
    text_embedder = {c.pooled_channels, width};
    context_embedder = {c.text_channels, width};
    for (std::int64_t i = 0; i < c.layers; ++i) transformer_blocks.emplace_back(c, i);
    norm_out = {width, 2 * width};
    proj_out = {width, c.patch_size * c.patch_size * c.out_channels};
    declare_transformer_init(*this, {"linear_1", "linear_2"},
                             {"norm1.linear", "norm1_context.linear", "norm_out.linear", "proj_out"});
  }

  /// Prediction [B, H, W, in_channels] for samples x [B, H, W, in_channels] at training times t [B] (fractions
  /// allowed). H and W are divisible by the patch size, and at most pos_embed_max_size patches. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition) const {
    return predict(x, t, condition, {});
  }
  /// The same with `added` [B, C] added to the embedding of the time, if it is defined.
  [[nodiscard]] Var<T, D> predict(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition,
                                  const Var<T, D>& added) const {
    auto s = start(x, t, condition, added);
    for (const auto& block : transformer_blocks) run(block, s);
    const auto v = chunks(norm_out(s.embedding), 2);  // scale, shift
    return pos_embed.image(proj_out(modulate(PlainNorm{}(s.image), v[1], v[0])), x.dim(1), x.dim(2));
  }
  /// Image tokens after the blocks `config.taps()` as maps [B, H / p, W / p, C]: the features for a discriminator.
  [[nodiscard]] std::vector<Var<T, D>> features(const Var<T, D>& x, const Times<T, D>& t,
                                                const Condition& condition) const {
    auto s = start(x, t, condition, {});
    std::vector<Var<T, D>> out;
    std::size_t done = 0;
    for (const std::int64_t tap : config.taps()) {
      while (done <= static_cast<std::size_t>(tap)) run(transformer_blocks[done++], s);
      out.push_back(pos_embed.map(s.image, x));
    }
    return out;
  }
  /// Channels of what `features` returns.
  [[nodiscard]] std::vector<std::int64_t> feature_channels() const {
    return std::vector<std::int64_t>(config.taps().size(), config.channels());
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "pos_embed", pos_embed, "time_text_embed.timestep_embedder", timestep_embedder,
                  "time_text_embed.text_embedder", text_embedder, "context_embedder", context_embedder,
                  "transformer_blocks", transformer_blocks, "norm_out.linear", norm_out, "proj_out", proj_out);
  }

 private:
  struct State {
    Var<T, D> image, text;  ///< tokens [B, N, C], [B, L, C]
    Var<T, D> embedding;    ///< silu(embedding of time and pooled text) [B, C]
  };
  State start(const Var<T, D>& x, const Times<T, D>& t, const Condition& c, const Var<T, D>& added) const {
    require<ShapeError>(x.rank() == 4 && t.value.rank() == 1 && t.value.dim(0) == x.dim(0), "MM-DiT: times ",
                        t.value.shape(), " for samples ", x.shape());
    require<ShapeError>(c.tokens.defined() && c.added.defined(),
                        "MM-DiT: the condition needs tokens and, as `added`, the pooled text");
    require<ShapeError>(c.tokens.rank() == 3 && c.tokens.dim(0) == x.dim(0) && c.tokens.dim(2) == config.text_channels,
                        "MM-DiT: tokens ", c.tokens.shape(), " for samples ", x.shape(), " and text_channels ",
                        config.text_channels);
    require<ShapeError>(c.added.shape() == Shape({x.dim(0), config.pooled_channels}), "MM-DiT: pooled text ",
                        c.added.shape(), ", [", x.dim(0), ", ", config.pooled_channels, "] needed");
    auto time = timestep_embedder(time_features(t));
    if (added.defined()) time = autograd::add(time, added);
    return {pos_embed(x), context_embedder(c.tokens), autograd::silu(autograd::add(time, text_embedder(c.added)))};
  }
  void run(const MmDitBlock<T, D>& block, State& s) const {
    if (!config.checkpoint_layers) {
      std::tie(s.image, s.text) = block(s.image, s.text, s.embedding);
      return;
    }
    // A checkpoint has one result: image and text as one list of tokens.
    const auto joined = [block](const Var<T, D>& h, const Var<T, D>& text, const Var<T, D>& e) {
      const auto [image, words] = block(h, text, e);
      return block.text_result() ? concat_tokens(image, words) : image;
    };
    const std::int64_t tokens = s.image.dim(1);
    const auto both = autograd::checkpoint(joined, s.image, s.text, s.embedding);
    s.image = slice_tokens(both, 0, tokens);
    s.text = block.text_result() ? slice_tokens(both, tokens, both.dim(1)) : Var<T, D>{};
  }
};

}  // namespace hypersd::nn
