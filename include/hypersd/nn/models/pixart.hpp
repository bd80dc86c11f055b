// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/checkpoint.hpp>
#include <hypersd/nn/attention.hpp>
#include <hypersd/nn/models/pixart_config.hpp>
#include <hypersd/nn/models/unet_encoder.hpp>
#include <hypersd/nn/modulation.hpp>
#include <hypersd/nn/patch_embedding.hpp>
#include <hypersd/nn/timestep_embedding.hpp>

namespace hypersd::nn {

/// The features of image sizes that `UnetCondition::added` holds for a `PixArt` with size conditions: sinusoids of
/// [height, width, aspect ratio] of each sample, `sizes` [B, 3] -> [B, 768].
template <Floating T, Device D>
Tensor<T, D> size_features(const Numbers<T, D>& sizes) {
  require<ShapeError>(sizes.rank() == 2 && sizes.dim(1) == 3, "size_features: numbers ", sizes.shape(),
                      ", [B, 3] needed");
  const SinusoidalFeatures<T, D> features(PixArtConfig::time_features);
  return features(sizes.reshape({3 * sizes.dim(0)})).reshape({sizes.dim(0), 3 * features.dim()});
}

/// h += gate1 attn1(norm(h) (1 + scale1) + shift1); h += attn2(h, text); h += gate2 ff(norm(h) (1 + scale2) + shift2).
/// The six vectors are the sum of those of the time, which all blocks share, and a table of the block (adaLN-single).
template <Scalar T, Device D = Cpu>
struct PixArtBlock {
  using value_type = T;
  using device_type = D;

  Parameter<T, D> scale_shift_table;
  Attention<T, D> attn1, attn2;
  GeluFeedForward<T, D> ff;
  PlainNorm norm;

  PixArtBlock() = default;
  explicit PixArtBlock(const PixArtConfig& c)
      : scale_shift_table(Shape{6, c.channels()},
                          Initializer::normal(1 / std::sqrt(static_cast<double>(c.channels())))),
        attn1(c.channels(), c.heads, 0, c.attention_bias, c.qk_norm),
        attn2(c.channels(), c.heads, c.caption_projection ? 0 : c.text_channels, c.attention_bias, c.qk_norm),
        ff(c.channels()),
        norm{c.norm_eps, c.rms_norm} {}
  /// h [B, N, C], text [B, L, C] (or the width of the tokens), m [B, 6 C].
  Var<T, D> operator()(Var<T, D> h, const Var<T, D>& text, const Var<T, D>& m) const {
    const auto table = autograd::reshape(scale_shift_table.get(), Shape{m.dim(1)});
    const auto v = chunks(autograd::add(m, ops::per_channel(table)), 6);
    h = add_gated(h, v[2], attn1(modulate(norm(h), v[0], v[1])));
    h = autograd::add(h, attn2(h, text));
    return add_gated(h, v[5], ff(modulate(norm(h), v[3], v[4])));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "scale_shift_table", scale_shift_table, "attn1", attn1, "attn2", attn2, "ff", ff);
  }
};

/// linear, GELU (tanh), linear: projects text tokens; parameter names `linear_1` and `linear_2`.
template <Scalar T, Device D = Cpu>
struct CaptionProjection {
  using value_type = T;
  using device_type = D;

  Linear<T, D> linear_1, linear_2;

  CaptionProjection() = default;
  CaptionProjection(std::int64_t in, std::int64_t channels) : linear_1(in, channels), linear_2(channels, channels) {}
  Var<T, D> operator()(const Var<T, D>& tokens) const { return linear_2(autograd::map(GeluTanh{}, linear_1(tokens))); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "linear_1", linear_1, "linear_2", linear_2);
  }
};

/// Text-conditional diffusion transformer with cross-attention (Chen et al., PixArt-alpha, arXiv 2310.00426), channels
/// last, with the parameter names of PixArtTransformer2DModel of diffusers. Its condition is that of a UNet: `tokens`
/// [B, L, text_channels], and with size conditions `added` [B, 768], the `size_features`. Tokens are not masked.
template <Scalar T, Device D = Cpu>
struct PixArt {
  using value_type = T;
  using device_type = D;
  using Condition = UnetCondition<T, D>;

  PixArtConfig config;
  SinusoidalFeatures<T, D> time_features;
  PatchEmbedding<T, D> pos_embed;
  TimestepEmbedding<T, D> timestep_embedder;
  std::optional<TimestepEmbedding<T, D>> resolution_embedder, aspect_ratio_embedder;
  Linear<T, D> modulation;
  std::optional<CaptionProjection<T, D>> caption_projection;
  std::vector<PixArtBlock<T, D>> transformer_blocks;
  Parameter<T, D> scale_shift_table;
  Linear<T, D> proj_out;

  PixArt() = default;
  /// Declares the parameters; `init_parameters` or `load_state_dict` gives them values. A fresh network predicts 0.
  /// Throws OptionError for a configuration that is inconsistent.
  explicit PixArt(const PixArtConfig& c) : config(c) {
    c.validate();
    const std::int64_t width = c.channels(), features = PixArtConfig::time_features;
    time_features = SinusoidalFeatures<T, D>(features);
    pos_embed = PatchEmbedding<T, D>(c.patches());
    timestep_embedder = {features, width};
    if (c.size_conditions) {
      resolution_embedder.emplace(features, width / 3);
      aspect_ratio_embedder.emplace(features, width / 3);
    }
    modulation = {width, 6 * width};
    if (c.caption_projection) caption_projection.emplace(c.text_channels, width);
    for (std::int64_t i = 0; i < c.layers; ++i) transformer_blocks.emplace_back(c);
    scale_shift_table = {Shape{2, width}, Initializer::normal(1 / std::sqrt(static_cast<double>(width)))};
    proj_out = {width, c.patch_size * c.patch_size * c.out_channels};
    declare_transformer_init(*this, {"linear_1", "linear_2", "adaln_single.linear"}, {"attn2.to_out.0", "proj_out"});
  }

  /// Prediction [B, H, W, in_channels] for samples x [B, H, W, in_channels] at training times t [B] (fractions
  /// allowed). H and W are divisible by the patch size and need not be those of the training. A predicted variance is
  /// left out (`with_variance`). Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition) const {
    return predict(x, t, condition, {});
  }
  /// The same with `added` [B, C] added to the embedding of the time, if it is defined.
  [[nodiscard]] Var<T, D> predict(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition,
                                  const Var<T, D>& added) const {
    const auto y = with_variance(x, t, condition, added);
    return config.out_channels == config.in_channels ? y : autograd::slice_channels(y, 0, config.in_channels);
  }
  /// All output channels [B, H, W, out_channels]: the prediction, then what parameterizes the variance.
  [[nodiscard]] Var<T, D> with_variance(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition,
                                        const Var<T, D>& added = {}) const {
    const auto in = embedded(x, t, condition, added);
    auto h = pos_embed(x);
    for (const auto& block : transformer_blocks) h = run(block, h, in);
    const auto table = autograd::reshape(scale_shift_table.get(), Shape{2 * config.channels()});
    const auto v = chunks(autograd::add(autograd::concat_channels(in.time, in.time), ops::per_channel(table)), 2);
    h = proj_out(modulate(PlainNorm{1e-6, config.rms_norm}(h), v[0], v[1]));
    return pos_embed.image(h, x.dim(1), x.dim(2));
  }
  /// Tokens after the blocks `config.taps()` as maps [B, H / p, W / p, C]: the features for a discriminator.
  [[nodiscard]] std::vector<Var<T, D>> features(const Var<T, D>& x, const Times<T, D>& t,
                                                const Condition& condition) const {
    const auto in = embedded(x, t, condition, {});
    auto h = pos_embed(x);
    std::vector<Var<T, D>> out;
    std::size_t done = 0;
    for (const std::int64_t tap : config.taps()) {
      while (done <= static_cast<std::size_t>(tap)) h = run(transformer_blocks[done++], h, in);
      out.push_back(pos_embed.map(h, x));
    }
    return out;
  }
  /// Channels of what `features` returns.
  [[nodiscard]] std::vector<std::int64_t> feature_channels() const {
    return std::vector<std::int64_t>(config.taps().size(), config.channels());
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "scale_shift_table", scale_shift_table, "pos_embed", pos_embed, "transformer_blocks",
                  transformer_blocks, "proj_out", proj_out, "adaln_single.emb.timestep_embedder", timestep_embedder,
                  "adaln_single.emb.resolution_embedder", resolution_embedder, "adaln_single.emb.aspect_ratio_embedder",
                  aspect_ratio_embedder, "adaln_single.linear", modulation, "caption_projection", caption_projection);
  }

 private:
  struct Embedded {
    Var<T, D> time;        ///< of time and sizes, [B, C]
    Var<T, D> modulation;  ///< the six vectors before the blocks' tables, [B, 6 C]
    Var<T, D> text;        ///< [B, L, C]
  };
  Embedded embedded(const Var<T, D>& x, const Times<T, D>& t, const Condition& c, const Var<T, D>& added) const {
    check(x, t, c);
    Embedded out;
    out.time = timestep_embedder(time_features(t));
    if (resolution_embedder) out.time = autograd::add(out.time, sizes(c.added));
    if (added.defined()) out.time = autograd::add(out.time, added);
    out.modulation = modulation(autograd::silu(out.time));
    out.text = caption_projection ? (*caption_projection)(c.tokens) : c.tokens;
    return out;
  }
  /// Height and width go through one embedding each, of a third of the width.
  Var<T, D> sizes(const Var<T, D>& added) const {
    constexpr std::int64_t one = PixArtConfig::time_features;
    const std::int64_t batch = added.dim(0);
    const auto both = autograd::reshape(autograd::slice_channels(added, 0, 2 * one), Shape{2 * batch, one});
    const auto resolution = autograd::reshape((*resolution_embedder)(both), Shape{batch, 2 * config.channels() / 3});
    return autograd::concat_channels(resolution,
                                     (*aspect_ratio_embedder)(autograd::slice_channels(added, 2 * one, 3 * one)));
  }
  Var<T, D> run(const PixArtBlock<T, D>& block, const Var<T, D>& h, const Embedded& in) const {
    return config.checkpoint_layers ? autograd::checkpoint(block, h, in.text, in.modulation)
                                    : block(h, in.text, in.modulation);
  }
  void check(const Var<T, D>& x, const Times<T, D>& t, const Condition& c) const {
    require<ShapeError>(x.rank() == 4 && t.value.rank() == 1 && t.value.dim(0) == x.dim(0), "PixArt: times ",
                        t.value.shape(), " for samples ", x.shape());
    require<ShapeError>(c.tokens.defined(), "PixArt: the condition has no tokens");
    require<ShapeError>(c.tokens.rank() == 3 && c.tokens.dim(0) == x.dim(0) && c.tokens.dim(2) == config.text_channels,
                        "PixArt: tokens ", c.tokens.shape(), " for samples ", x.shape(), " and text_channels ",
                        config.text_channels);
    if (!config.size_conditions) return;
    require<ShapeError>(c.added.defined() && c.added.shape() == Shape({x.dim(0), 3 * PixArtConfig::time_features}),
                        "PixArt: size features ", c.added.defined() ? c.added.shape() : Shape{0}, ", [", x.dim(0), ", ",
                        3 * PixArtConfig::time_features, "] needed (size_features)");
  }
};

}  // namespace hypersd::nn
