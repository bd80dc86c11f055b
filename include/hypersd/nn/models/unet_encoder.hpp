// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/guidance_embedding.hpp>
#include <hypersd/nn/models/unet_blocks.hpp>
#include <hypersd/nn/models/unet_config.hpp>
#include <hypersd/nn/timestep_embedding.hpp>

namespace hypersd::nn {

/// The condition of a UNet.
template <Scalar T, Device D = Cpu>
struct UnetCondition {
  Var<T, D> tokens;  ///< text [B, L, cross_attention_dim]
  Var<T, D> added;   ///< pooled text and size features [B, addition_embedding_dim], see `text_time_features`
};

/// Joins the conditions of two batches into one (the two branches of classifier-free guidance in one evaluation).
template <class T, class D>
UnetCondition<T, D> concat_batch(const UnetCondition<T, D>& a, const UnetCondition<T, D>& b) {
  return {autograd::concat_batch(a.tokens, b.tokens),
          a.added.defined() ? autograd::concat_batch(a.added, b.added) : Var<T, D>{}};
}

/// A copy of a condition with its own memory, which `copy_batch` can overwrite (for recorded runs).
template <class T, class D>
UnetCondition<T, D> clone_batch(const UnetCondition<T, D>& c) {
  return {Var<T, D>(c.tokens.value().clone()), c.added.defined() ? Var<T, D>(c.added.value().clone()) : Var<T, D>{}};
}
/// Copies the values of a condition into the memory of another of the same shapes. Throws ShapeError.
template <class T, class D>
void copy_batch(const UnetCondition<T, D>& to, const UnetCondition<T, D>& from) {
  require<ShapeError>(to.added.defined() == from.added.defined(),
                      "UNet condition: additional features in one of two conditions only");
  to.tokens.value().copy_from(from.tokens.value());
  if (to.added.defined()) to.added.value().copy_from(from.added.value());
}

/// SDXL's additional features: pooled text [B, P] followed by the sinusoidal features of the numbers
/// [original height, width, crop top, left, target height, width] of each sample, `time_ids` [B, 6].
template <Floating T, Device D>
Tensor<T, D> text_time_features(const Tensor<T, D>& pooled, const Numbers<T, D>& time_ids, const UnetConfig& config) {
  require<ShapeError>(pooled.rank() == 2 && time_ids.rank() == 2 && pooled.dim(0) == time_ids.dim(0),
                      "text_time_features: pooled text ", pooled.shape(), " and size numbers ", time_ids.shape());
  const SinusoidalFeatures<T, D> features(config.addition_time_embed_dim, config.flip_sin_to_cos, config.freq_shift);
  const std::int64_t rows = time_ids.dim(0), ids = time_ids.dim(1);
  const auto sizes = features(time_ids.reshape({rows * ids})).reshape({rows, ids * features.dim()});
  return ops::concat_last(pooled, sizes);
}

/// The output of `UnetEncoder`.
template <Scalar T, Device D = Cpu>
struct UnetEncoding {
  Var<T, D> h;                    ///< result of the middle block
  Var<T, D> embedding;            ///< silu(time embedding + additional embedding) [B, embedding_dim]
  std::vector<Var<T, D>> skips;   ///< skip connections, the last taken first
  std::vector<Var<T, D>> levels;  ///< last output of each level before its downsampling
};

/// Embeddings, down path and middle block: shared by `Unet` and `ControlNet`.
template <Scalar T, Device D = Cpu>
struct UnetEncoder {
  using value_type = T;
  using device_type = D;

  UnetConfig config;
  SinusoidalFeatures<T, D> time_features;
  Conv2d<T, D> conv_in;
  TimestepEmbedding<T, D> time_embedding;
  std::optional<TimestepEmbedding<T, D>> add_embedding;
  std::vector<UnetDownBlock<T, D>> down_blocks;
  UnetMidBlock<T, D> mid_block;

  UnetEncoder() = default;
  UnetEncoder(const UnetEncoder&);
  UnetEncoder(UnetEncoder&&) noexcept;
  UnetEncoder& operator=(const UnetEncoder&);
  UnetEncoder& operator=(UnetEncoder&&) noexcept;
  ~UnetEncoder();
  /// Throws OptionError for an inconsistent configuration.
  explicit UnetEncoder(const UnetConfig& c);

  /// Options of a residual block of this network.
  [[nodiscard]] ResnetOptions resnet(std::int64_t in, std::int64_t out) const {
    return {in, out, config.embedding_dim(), config.norm_num_groups, config.norm_eps};
  }
  /// Transformer sizes of a level; depth 0 if it has none.
  [[nodiscard]] Transformer2dOptions attention(std::size_t level, bool present) const {
    return {
        config.block_out_channels[level], config.heads[level],          present ? config.transformer_layers[level] : 0,
        config.cross_attention_dim,       config.use_linear_projection, config.norm_num_groups};
  }

  /// x [B, H, W, in_channels], t [B] training times (fractions allowed). `residual`, if defined, is added to the output
  /// of the first convolution. `w` [B], if defined, are guidance weights for a network with `time_cond_proj_dim` > 0;
  /// their features are added to those of the time. `extra` [B, embedding_dim], if defined, is added to the embedding.
  /// Throws ShapeError for inputs that do not match the configuration, OptionError for weights if `time_cond_proj_dim`
  /// is 0.
  UnetEncoding<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const UnetCondition<T, D>& condition,
                                const Var<T, D>& residual = {}, const Numbers<T, D>& w = {},
                                const Var<T, D>& extra = {}) const;
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv_in", conv_in, "time_embedding", time_embedding, "add_embedding", add_embedding,
                  "down_blocks", down_blocks, "mid_block", mid_block);
  }

 private:
  Var<T, D> guidance_features(const Var<T, D>& x, const Numbers<T, D>& w) const {
    if (!w.defined()) return {};
    require<OptionError>(config.time_cond_proj_dim > 0, "UNet: guidance weights, but time_cond_proj_dim is 0");
    require<ShapeError>(w.rank() == 1 && w.dim(0) == x.dim(0), "UNet: guidance weights ", w.shape(), " for samples ",
                        x.shape());
    return Var<T, D>(ops::cast<T>(guidance_embedding(w, config.time_cond_proj_dim)));
  }
  void check(const Var<T, D>& x, const Times<T, D>& t, const UnetCondition<T, D>& c) const {
    require<ShapeError>(x.rank() == 4 && x.dim(3) == config.in_channels, "UNet: sample ", x.shape(), ", [B, H, W, ",
                        config.in_channels, "] needed");
    require<ShapeError>(t.value.rank() == 1 && t.value.dim(0) == x.dim(0), "UNet: times ", t.value.shape(),
                        " for samples ", x.shape());
    if (config.cross_attention_dim > 0) {
      require<ShapeError>(c.tokens.defined(), "UNet: the condition has no tokens");
      require<ShapeError>(
          c.tokens.rank() == 3 && c.tokens.dim(0) == x.dim(0) && c.tokens.dim(2) == config.cross_attention_dim,
          "UNet: tokens ", c.tokens.shape(), " for samples ", x.shape(), " and cross_attention_dim ",
          config.cross_attention_dim);
    }
    if (add_embedding) {
      require<ShapeError>(c.added.defined(), "UNet: the condition has no additional features");
      require<ShapeError>(c.added.shape() == Shape({x.dim(0), config.addition_embedding_dim}),
                          "UNet: additional features ", c.added.shape(), ", [", x.dim(0), ", ",
                          config.addition_embedding_dim, "] needed");
    }
  }
};

template <Scalar T, Device D>
UnetEncoder<T, D>::UnetEncoder(const UnetConfig& c) : config(c) {
  c.validate();
  const auto& width = c.block_out_channels;
  time_features = SinusoidalFeatures<T, D>(width[0], c.flip_sin_to_cos, c.freq_shift);
  conv_in = Conv2d<T, D>(c.in_channels, width[0]);
  time_embedding = TimestepEmbedding<T, D>(width[0], c.embedding_dim(), c.time_cond_proj_dim);
  if (c.addition_embedding_dim > 0) add_embedding.emplace(c.addition_embedding_dim, c.embedding_dim());
  for (std::size_t i = 0; i < c.levels(); ++i)
    down_blocks.emplace_back(resnet(i == 0 ? width[0] : width[i - 1], width[i]), attention(i, c.down_attention[i]),
                             c.layers_per_block, i + 1 < c.levels());
  mid_block = {resnet(width.back(), width.back()), attention(c.levels() - 1, c.mid_attention)};
}

template <Scalar T, Device D>
UnetEncoding<T, D> UnetEncoder<T, D>::operator()(const Var<T, D>& x, const Times<T, D>& t,
                                                 const UnetCondition<T, D>& condition, const Var<T, D>& residual,
                                                 const Numbers<T, D>& w, const Var<T, D>& extra) const {
  check(x, t, condition);
  auto e = time_embedding(time_features(t), guidance_features(x, w));
  if (extra.defined()) e = autograd::add(e, extra);
  if (add_embedding) e = autograd::add(e, (*add_embedding)(condition.added));
  UnetEncoding<T, D> out;
  out.embedding = autograd::silu(e);
  auto h = conv_in(x);
  if (residual.defined()) h = autograd::add(h, residual);
  out.skips.push_back(h);
  for (const auto& block : down_blocks)
    out.levels.push_back(block(out.skips.back(), out.embedding, condition.tokens, out.skips, config.checkpoint_layers));
  out.h = mid_block(out.skips.back(), out.embedding, condition.tokens, config.checkpoint_layers);
  return out;
}

// As the compiler would define them, but members: instances of the class hold them, see hypersd/compiled.hpp.
template <Scalar T, Device D>
UnetEncoder<T, D>::UnetEncoder(const UnetEncoder&) = default;
template <Scalar T, Device D>
UnetEncoder<T, D>::UnetEncoder(UnetEncoder&&) noexcept = default;
template <Scalar T, Device D>
UnetEncoder<T, D>& UnetEncoder<T, D>::operator=(const UnetEncoder&) = default;
template <Scalar T, Device D>
UnetEncoder<T, D>& UnetEncoder<T, D>::operator=(UnetEncoder&&) noexcept = default;
template <Scalar T, Device D>
UnetEncoder<T, D>::~UnetEncoder() = default;

}  // namespace hypersd::nn
