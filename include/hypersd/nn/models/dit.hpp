// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/checkpoint.hpp>
#include <hypersd/nn/attention.hpp>
#include <hypersd/nn/embedding.hpp>
#include <hypersd/nn/models/dit_config.hpp>
#include <hypersd/nn/modulation.hpp>
#include <hypersd/nn/patch_embedding.hpp>
#include <hypersd/nn/timestep_embedding.hpp>

namespace hypersd::nn {

/// Embedding of a time and a class: MLP(sinusoid(t)) + a row of a table, whose last row stands for no class.
template <Scalar T, Device D = Cpu>
struct ClassTimeEmbedding {
  using value_type = T;
  using device_type = D;

  TimestepEmbedding<T, D> timestep_embedder;
  Embedding<T, D> embedding_table;

  ClassTimeEmbedding() = default;
  explicit ClassTimeEmbedding(const DitConfig& c)
      : timestep_embedder(DitConfig::time_features, c.channels()), embedding_table(c.classes + 1, c.channels(), 0.02) {}
  /// features [B, time_features], labels [B] -> [B, C].
  Var<T, D> operator()(const Var<T, D>& features, const Tensor<std::int32_t, D>& labels) const {
    return autograd::add(timestep_embedder(features), embedding_table(labels));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "timestep_embedder", timestep_embedder, "class_embedder.embedding_table", embedding_table);
  }
};

/// h += gate1 attn1(norm(h) (1 + scale1) + shift1); h += gate2 ff(norm(h) (1 + scale2) + shift2), with the six vectors
/// of each sample from its time and class (adaLN-zero). As in diffusers every block has an embedding of its own.
template <Scalar T, Device D = Cpu>
struct DitBlock {
  using value_type = T;
  using device_type = D;

  ClassTimeEmbedding<T, D> emb;
  Linear<T, D> modulation;
  Attention<T, D> attn1;
  GeluFeedForward<T, D> ff;
  PlainNorm norm1, norm3;

  DitBlock() = default;
  explicit DitBlock(const DitConfig& c)
      : emb(c),
        modulation(c.channels(), 6 * c.channels()),
        attn1(c.channels(), c.heads, 0, c.attention_bias, c.qk_norm),
        ff(c.channels()),
        norm1{1e-6, c.rms_norm},
        norm3{c.norm_eps, c.rms_norm} {}
  /// h [B, N, C] and the vectors [shift1, scale1, gate1, shift2, scale2, gate2], m [B, 6 C].
  Var<T, D> operator()(Var<T, D> h, const Var<T, D>& m) const {
    const auto v = chunks(m, 6);
    h = add_gated(h, v[2], attn1(modulate(norm1(h), v[0], v[1])));
    return add_gated(h, v[5], ff(modulate(norm3(h), v[3], v[4])));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm1.emb", emb, "norm1.linear", modulation, "attn1", attn1, "ff", ff);
  }
};

/// Class-conditional diffusion transformer (Peebles and Xie, arXiv 2212.09748), channels last, with the parameter names
/// of DiTTransformer2DModel of diffusers. The condition is the labels [B], numbers in [0, classes]; `classes` itself
/// means no class.
template <Scalar T, Device D = Cpu>
struct Dit {
  using value_type = T;
  using device_type = D;
  using Condition = Tensor<std::int32_t, D>;

  DitConfig config;
  SinusoidalFeatures<T, D> time_features;
  PatchEmbedding<T, D> pos_embed;
  std::vector<DitBlock<T, D>> transformer_blocks;
  Linear<T, D> proj_out_1, proj_out_2;

  Dit() = default;
  /// Declares the parameters; `init_parameters` or `load_state_dict` gives them values. A fresh network predicts 0.
  /// Throws OptionError for a configuration that is inconsistent.
  explicit Dit(const DitConfig& c) : config(c) {
    c.validate();
    time_features = SinusoidalFeatures<T, D>(DitConfig::time_features, true, c.freq_shift);
    pos_embed = PatchEmbedding<T, D>(c.patches());
    for (std::int64_t i = 0; i < c.layers; ++i) transformer_blocks.emplace_back(c);
    proj_out_1 = {c.channels(), 2 * c.channels()};
    proj_out_2 = {c.channels(), c.patch_size * c.patch_size * c.out_channels};
    declare_transformer_init(*this, {"linear_1", "linear_2"}, {"norm1.linear", "proj_out_1", "proj_out_2"});
  }

  /// Prediction [B, H, W, in_channels] for samples x [B, H, W, in_channels] at training times t [B] (fractions
  /// allowed). H and W are divisible by the patch size and need not be those of the training. A predicted variance is
  /// left out (`with_variance`). Throws ShapeError, and OptionError for a label out of range (on a GPU its embedding
  /// is zero).
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& labels) const {
    return predict(x, t, labels, {});
  }
  /// The same with `added` [B, C] added to the embeddings of time and class, if it is defined.
  [[nodiscard]] Var<T, D> predict(const Var<T, D>& x, const Times<T, D>& t, const Condition& labels,
                                  const Var<T, D>& added) const {
    const auto y = with_variance(x, t, labels, added);
    return config.out_channels == config.in_channels ? y : autograd::slice_channels(y, 0, config.in_channels);
  }
  /// All output channels [B, H, W, out_channels]: the prediction, then what parameterizes the variance.
  [[nodiscard]] Var<T, D> with_variance(const Var<T, D>& x, const Times<T, D>& t, const Condition& labels,
                                        const Var<T, D>& added = {}) const {
    const auto at = embedded(x, t, labels);
    auto h = pos_embed(x);
    for (const auto& block : transformer_blocks) h = run(block, h, at, labels, added);
    const auto v = chunks(proj_out_1(embedding(transformer_blocks[0], at, labels, added)), 2);
    h = proj_out_2(modulate(PlainNorm{1e-6, config.rms_norm}(h), v[0], v[1]));
    return pos_embed.image(h, x.dim(1), x.dim(2));
  }
  /// Tokens after the blocks `config.taps()` as maps [B, H / p, W / p, C]: the features for a discriminator.
  [[nodiscard]] std::vector<Var<T, D>> features(const Var<T, D>& x, const Times<T, D>& t,
                                                const Condition& labels) const {
    const auto at = embedded(x, t, labels);
    auto h = pos_embed(x);
    std::vector<Var<T, D>> out;
    std::size_t done = 0;
    for (const std::int64_t tap : config.taps()) {
      while (done <= static_cast<std::size_t>(tap)) h = run(transformer_blocks[done++], h, at, labels, {});
      out.push_back(pos_embed.map(h, x));
    }
    return out;
  }
  /// Channels of what `features` returns.
  [[nodiscard]] std::vector<std::int64_t> feature_channels() const {
    return std::vector<std::int64_t>(config.taps().size(), config.channels());
  }
  /// The condition without classes of the same batch, for classifier-free guidance.
  [[nodiscard]] Condition null_condition(const Condition& labels) const {
    return Condition::full(labels.shape(), static_cast<std::int32_t>(config.classes));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "pos_embed", pos_embed, "transformer_blocks", transformer_blocks, "proj_out_1", proj_out_1,
                  "proj_out_2", proj_out_2);
  }

 private:
  Var<T, D> embedded(const Var<T, D>& x, const Times<T, D>& t, const Condition& labels) const {
    require<ShapeError>(x.rank() == 4 && t.value.rank() == 1 && t.value.dim(0) == x.dim(0), "DiT: times ",
                        t.value.shape(), " for samples ", x.shape());
    require<ShapeError>(labels.rank() == 1 && labels.dim(0) == x.dim(0), "DiT: labels ", labels.shape(),
                        " for samples ", x.shape());
    return time_features(t);
  }
  static Var<T, D> embedding(const DitBlock<T, D>& block, const Var<T, D>& at, const Condition& labels,
                             const Var<T, D>& added) {
    const auto e = block.emb(at, labels);
    return autograd::silu(added.defined() ? autograd::add(e, added) : e);
  }
  Var<T, D> run(const DitBlock<T, D>& block, const Var<T, D>& h, const Var<T, D>& at, const Condition& labels,
                const Var<T, D>& added) const {
    const auto m = block.modulation(embedding(block, at, labels, added));
    return config.checkpoint_layers ? autograd::checkpoint(block, h, m) : block(h, m);
  }
};

}  // namespace hypersd::nn
