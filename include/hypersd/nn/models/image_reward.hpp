// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/models/aesthetic_head.hpp>
#include <hypersd/nn/models/image_encoder.hpp>

/// \file
/// The reward of ImageReward (Xu et al., 2023, arXiv 2304.05977): BLIP's image encoder, its text encoder that also
/// attends to the image, and a head on the first token. Names are those of the published checkpoint.

namespace hypersd::nn {

/// Sizes of BLIP's encoders (Li et al., 2022, arXiv 2201.12086); the default is ImageReward's: ViT-L/16 and BERT-base.
struct BlipConfig {
  std::int64_t image_size = 224, patch_size = 16;  ///< pixels of a side; the patch divides the image
  std::int64_t image_channels = 1024;              ///< width of the image's hidden states
  std::int64_t image_layers = 24, image_heads = 16, image_mlp = 4096;
  std::int64_t vocabulary = 30524, max_length = 512;  ///< tokens, positions
  std::int64_t channels = 768;                        ///< width of the text's hidden states
  std::int64_t layers = 12, heads = 12, mlp = 3072;

  /// Tokens of an image: one for the class, one for each patch.
  [[nodiscard]] std::int64_t image_tokens() const { return 1 + (image_size / patch_size) * (image_size / patch_size); }
};

/// h += attention(LN h), q, k and v by one layer; h += mlp(LN h). [BLIP's vision transformer]
template <Scalar T, Device D = Cpu>
struct BlipImageLayer {
  using value_type = T;
  using device_type = D;

  LayerNorm<T, D> norm1, norm2;
  Linear<T, D> qkv, proj, fc1, fc2;
  std::int64_t heads = 1;

  BlipImageLayer() = default;
  explicit BlipImageLayer(const BlipConfig& c)
      : norm1(c.image_channels, 1e-6),
        norm2(c.image_channels, 1e-6),
        qkv(c.image_channels, 3 * c.image_channels),
        proj(c.image_channels, c.image_channels),
        fc1(c.image_channels, c.image_mlp),
        fc2(c.image_mlp, c.image_channels),
        heads(c.image_heads) {}
  /// h [B, N, C].
  Var<T, D> operator()(const Var<T, D>& h) const {
    const auto x = qkv(norm1(h));
    const std::int64_t width = h.dim(2);
    const auto part = [&](std::int64_t i) { return autograd::slice_channels(x, i * width, (i + 1) * width); };
    const auto sum = autograd::add(h, proj(autograd::attention(part(0), part(1), part(2), heads)));
    return autograd::add(sum, fc2(autograd::gelu(fc1(norm2(sum)))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "norm1", norm1, "attn.qkv", qkv, "attn.proj", proj, "norm2", norm2, "mlp.fc1", fc1,
                  "mlp.fc2", fc2);
  }
};

/// h = LN(h + out(attention(h, context))). [BERT's attention]
template <Scalar T, Device D = Cpu>
struct BertAttention {
  using value_type = T;
  using device_type = D;

  Linear<T, D> query, key, value, dense;
  LayerNorm<T, D> norm;
  std::int64_t heads = 1;

  BertAttention() = default;
  BertAttention(std::int64_t channels, std::int64_t context, std::int64_t heads_)
      : query(channels, channels),
        key(context, channels),
        value(context, channels),
        dense(channels, channels),
        norm(channels, 1e-12),
        heads(heads_) {}
  /// h [B, L, C], context [B, M, K] -> [B, L, C].
  Var<T, D> operator()(const Var<T, D>& h, const Var<T, D>& context) const {
    return norm(autograd::add(h, dense(autograd::attention(query(h), key(context), value(context), heads))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "self.query", query, "self.key", key, "self.value", value, "output.dense", dense,
                  "output.LayerNorm", norm);
  }
};

/// Attention to the text, to the image, a feed-forward layer; a norm after each.
template <Scalar T, Device D = Cpu>
struct BlipTextLayer {
  using value_type = T;
  using device_type = D;

  BertAttention<T, D> attention, crossattention;
  Linear<T, D> intermediate, output;
  LayerNorm<T, D> norm;

  BlipTextLayer() = default;
  explicit BlipTextLayer(const BlipConfig& c)
      : attention(c.channels, c.channels, c.heads),
        crossattention(c.channels, c.image_channels, c.heads),
        intermediate(c.channels, c.mlp),
        output(c.mlp, c.channels),
        norm(c.channels, 1e-12) {}
  /// h [B, L, C], image [B, N, K].
  Var<T, D> operator()(const Var<T, D>& h, const Var<T, D>& image) const {
    const auto x = crossattention(attention(h, h), image);
    return norm(autograd::add(x, output(autograd::gelu(intermediate(x)))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "attention", attention, "crossattention", crossattention, "intermediate.dense",
                  intermediate, "output.dense", output, "output.LayerNorm", norm);
  }
};

/// BLIP's encoder of a text that attends to an image.
template <Scalar T, Device D = Cpu>
struct BlipEncoder {
  using value_type = T;
  using device_type = D;

  BlipConfig config;
  Conv2d<T, D> patch_embedding;
  Parameter<T, D> class_token, image_positions;
  std::vector<BlipImageLayer<T, D>> image_layers;
  LayerNorm<T, D> image_norm;
  Embedding<T, D> words, positions;
  LayerNorm<T, D> text_norm;
  std::vector<BlipTextLayer<T, D>> layers;

  BlipEncoder() = default;
  /// Throws OptionError unless the patch divides the image and the heads the widths.
  explicit BlipEncoder(const BlipConfig& c)
      : config(c),
        patch_embedding(3, c.image_channels, c.patch_size, c.patch_size, 0),
        class_token(Shape{1, 1, c.image_channels}, Initializer::normal(0.02)),
        image_positions(Shape{1, c.image_tokens(), c.image_channels}, Initializer::normal(0.02)),
        image_norm(c.image_channels, 1e-6),
        words(c.vocabulary, c.channels, 0.02),
        positions(c.max_length, c.channels, 0.02),
        text_norm(c.channels, 1e-12) {
    require<OptionError>(c.patch_size >= 1 && c.image_size % c.patch_size == 0 && c.image_heads >= 1 &&
                             c.image_channels % c.image_heads == 0 && c.heads >= 1 && c.channels % c.heads == 0,
                         "BLIP: patches of ", c.patch_size, " in ", c.image_size, " pixels, ", c.image_heads,
                         " heads of ", c.image_channels, " channels, ", c.heads, " of ", c.channels);
    for (std::int64_t i = 0; i < c.image_layers; ++i) image_layers.emplace_back(c);
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(c);
  }

  /// Images [B, image_size, image_size, 3], normalized as CLIP's (`clip_pixels`) -> hidden states [B, N, K] of the
  /// class token and the patches. Throws ShapeError.
  [[nodiscard]] Var<T, D> encode_image(const Var<T, D>& images) const {
    const std::int64_t size = config.image_size, width = config.image_channels, tokens = config.image_tokens();
    require<ShapeError>(images.rank() == 4 && images.dim(1) == size && images.dim(2) == size && images.dim(3) == 3,
                        "BLIP: images ", images.shape(), ", [B, ", size, ", ", size, ", 3] needed");
    const std::int64_t batch = images.dim(0);
    // One row a sample: the class token, then the patches; positions are a vector that all samples share.
    Var<T, D> first(Tensor<T, D>::zeros(Shape{batch, width}));
    first = autograd::add(first, ops::per_channel(autograd::reshape(class_token.get(), Shape{width})));
    const auto patches = autograd::reshape(patch_embedding(images), Shape{batch, (tokens - 1) * width});
    auto h = autograd::add(autograd::concat_channels(first, patches),
                           ops::per_channel(autograd::reshape(image_positions.get(), Shape{tokens * width})));
    h = autograd::reshape(h, Shape{batch, tokens, width});
    for (const auto& layer : image_layers) h = layer(h);
    return image_norm(h);
  }
  /// The state of the first token of each text: `image` [B, N, K] of `encode_image`, `ids[b]` the tokens of text b
  /// without padding -> [B, C]. Throws ShapeError for another number of texts, or one that is empty or too long.
  [[nodiscard]] Var<T, D> first_token(const Var<T, D>& image, const std::vector<std::vector<std::int32_t>>& ids) const {
    require<ShapeError>(static_cast<std::int64_t>(ids.size()) == image.dim(0), "BLIP: ", ids.size(), " texts for ",
                        image.dim(0), " images");
    std::vector<Var<T, D>> out;
    for (std::size_t b = 0; b < ids.size(); ++b) {
      const auto length = static_cast<std::int64_t>(ids[b].size());
      require<ShapeError>(length >= 1 && length <= config.max_length, "BLIP: a text of ", length, " tokens, 1 to ",
                          config.max_length, " needed");
      // Texts of other lengths are not padded but encoded one by one: padding would be masked everywhere.
      const auto row = Tensor<std::int32_t>::from(Shape{1, length}, ids[b]).template to<D>();
      auto h = text_norm(
          autograd::add(words(row), autograd::reshape(autograd::slice_batch(positions.weight.get(), 0, length),
                                                      Shape{1, length, config.channels})));
      const auto index = static_cast<std::int64_t>(b);
      const auto seen = autograd::slice_batch(image, index, index + 1);
      for (const auto& layer : layers) h = layer(h, seen);
      out.push_back(
          autograd::slice_channels(autograd::reshape(h, Shape{1, length * config.channels}), 0, config.channels));
    }
    return autograd::concat_batch(out);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "visual_encoder.cls_token", class_token, "visual_encoder.pos_embed", image_positions,
                  "visual_encoder.patch_embed.proj", patch_embedding, "visual_encoder.blocks", image_layers,
                  "visual_encoder.norm", image_norm, "text_encoder.embeddings.word_embeddings", words,
                  "text_encoder.embeddings.position_embeddings", positions, "text_encoder.embeddings.LayerNorm",
                  text_norm, "text_encoder.encoder.layer", layers);
  }
};

/// ImageReward: how well a picture fits a text and pleases, about N(0, 1) over its training data.
template <Scalar T, Device D = Cpu>
struct ImageReward {
  using value_type = T;
  using device_type = D;

  BlipEncoder<T, D> blip;
  ImageRewardHead<T, D> head;

  ImageReward() = default;
  explicit ImageReward(const BlipConfig& c) : blip(c), head(ScoreHeadConfig{c.channels}) {}
  /// Pixels [B, H, W, 3] in [-1, 1] and the tokens of each text (BERT's, at most 35 with [CLS] and [SEP] as it was
  /// trained) -> rewards [B]. Differentiable. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& pixels, const std::vector<std::vector<std::int32_t>>& ids) const {
    const auto image = blip.encode_image(clip_pixels(pixels, blip.config.image_size));
    return head(blip.first_token(image, ids));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "blip", blip);
    head.visit(f, prefix);
  }
};

}  // namespace hypersd::nn
