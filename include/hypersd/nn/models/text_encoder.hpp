// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/embedding.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/norm.hpp>
#include <optional>
#include <vector>

namespace hypersd::nn {

/// Sizes of a text encoder. With 0 `layers` it is a normalized sum of token and position embeddings.
struct TextEncoderConfig {
  std::int64_t vocabulary = 64;     ///< number of tokens
  std::int64_t max_length = 8;      ///< number of positions
  std::int64_t channels = 64;       ///< width of the hidden states
  std::int64_t layers = 0;          ///< transformer layers
  std::int64_t heads = 4;           ///< attention heads, a divisor of `channels`
  std::int64_t mlp_channels = 0;    ///< 0: four times `channels`
  bool causal = true;               ///< position i attends to 0..i, as in CLIP
  bool quick_gelu = false;          ///< x sigmoid(1.702 x) instead of the exact gelu
  double token_deviation = 1;       ///< standard deviation of initial token embeddings
  double position_deviation = 0.1;  ///< standard deviation of initial position embeddings
  std::int64_t projection_dim = 0;  ///< width of the projected pooled text, 0: no projection
  std::int64_t eos_token_id = 2;    ///< id at which the pooled text is read; 2 (older files): the largest id of a row

  /// The text encoder of Stable Diffusion 1.x: CLIP ViT-L/14, 123,060,480 parameters.
  static TextEncoderConfig clip_large() { return {49408, 77, 768, 12, 12, 3072, true, true, 0.02, 0.01}; }
  /// The second text encoder of SDXL: OpenCLIP ViT-bigG/14, 694,659,840 parameters.
  static TextEncoderConfig open_clip_big() { return {49408, 77, 1280, 32, 20, 5120, true, false, 0.02, 0.01, 1280}; }
};

/// x sigmoid(1.702 x).
struct QuickGelu {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x * math::sigmoid(T(1.702) * x);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    const T s = math::sigmoid(T(1.702) * x);
    return s * (T(1) + T(1.702) * x * (T(1) - s));
  }
};

/// h += attention(LN h); h += fc2(act(fc1(LN h))), with the parameter names of transformers' CLIP.
template <Scalar T, Device D = Cpu>
struct TextEncoderLayer {
  using value_type = T;
  using device_type = D;

  LayerNorm<T, D> layer_norm1;
  Linear<T, D> q_proj, k_proj, v_proj, out_proj;
  LayerNorm<T, D> layer_norm2;
  Linear<T, D> fc1, fc2;
  std::int64_t heads = 1;
  bool causal = true, quick_gelu = false;

  TextEncoderLayer() = default;
  explicit TextEncoderLayer(const TextEncoderConfig& c)
      : layer_norm1(c.channels),
        q_proj(c.channels, c.channels),
        k_proj(c.channels, c.channels),
        v_proj(c.channels, c.channels),
        out_proj(c.channels, c.channels),
        layer_norm2(c.channels),
        fc1(c.channels, c.mlp_channels > 0 ? c.mlp_channels : 4 * c.channels),
        fc2(c.mlp_channels > 0 ? c.mlp_channels : 4 * c.channels, c.channels),
        heads(c.heads),
        causal(c.causal),
        quick_gelu(c.quick_gelu) {}
  /// h [B, L, C].
  Var<T, D> operator()(Var<T, D> h) const {
    const auto x = layer_norm1(h);
    h = autograd::add(h, out_proj(autograd::attention(q_proj(x), k_proj(x), v_proj(x), heads, causal)));
    const auto y = fc1(layer_norm2(h));
    return autograd::add(h, fc2(quick_gelu ? autograd::map(QuickGelu{}, y) : autograd::gelu(y)));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "layer_norm1", layer_norm1, "self_attn.q_proj", q_proj, "self_attn.k_proj", k_proj,
                  "self_attn.v_proj", v_proj, "self_attn.out_proj", out_proj, "layer_norm2", layer_norm2, "mlp.fc1",
                  fc1, "mlp.fc2", fc2);
  }
};

/// Token and position embeddings, transformer layers, a final norm. Padding is not masked, as in Stable Diffusion.
template <Scalar T, Device D = Cpu>
struct TextEncoder {
  using value_type = T;
  using device_type = D;

  TextEncoderConfig config;
  Embedding<T, D> token_embedding, position_embedding;
  std::vector<TextEncoderLayer<T, D>> layers;
  LayerNorm<T, D> final_layer_norm;
  std::optional<Linear<T, D>> text_projection;

  TextEncoder() = default;
  explicit TextEncoder(const TextEncoderConfig& c);
  /// The last hidden state after the final norm: ids [B, L] in [0, vocabulary), L <= max_length -> [B, L, C].
  Var<T, D> operator()(const Tensor<std::int32_t, D>& ids) const;
  /// Hidden states: the embeddings and the output of each layer, without the final norm.
  [[nodiscard]] std::vector<Var<T, D>> hidden_states(const Tensor<std::int32_t, D>& ids) const;
  /// The pooled text: `last` [B, L, C], the last hidden state after the final norm, at the first end token of each row,
  /// projected where the encoder has a projection -> [B, projection_dim or C]. A row without end token is read at its
  /// first position. Ids on a GPU are copied to the host.
  [[nodiscard]] Var<T, D> pooled(const Var<T, D>& last, const Tensor<std::int32_t, D>& ids) const;
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "text_model.embeddings.token_embedding", token_embedding,
                  "text_model.embeddings.position_embedding", position_embedding, "text_model.encoder.layers", layers,
                  "text_model.final_layer_norm", final_layer_norm, "text_projection", text_projection);
  }

 private:
  Var<T, D> embed(const Tensor<std::int32_t, D>& ids) const {
    require<ShapeError>(ids.rank() == 2 && ids.dim(1) >= 1 && ids.dim(1) <= config.max_length, "TextEncoder: ids ",
                        ids.shape(), ", [B, L] with L <= ", config.max_length, " needed");
    const std::int64_t batch = ids.dim(0), length = ids.dim(1), width = length * config.channels;
    const auto tokens = autograd::reshape(token_embedding(ids), Shape{batch, width});
    const auto positions = autograd::slice_batch(position_embedding.weight.get(), 0, length);
    // With one row per sample, the positions are a vector that all samples share.
    const auto sum = autograd::add(tokens, ops::per_channel(autograd::reshape(positions, Shape{width})));
    return autograd::reshape(sum, Shape{batch, length, config.channels});
  }
};

template <Scalar T, Device D>
TextEncoder<T, D>::TextEncoder(const TextEncoderConfig& c)
    : config(c),
      token_embedding(c.vocabulary, c.channels, c.token_deviation),
      position_embedding(c.max_length, c.channels, c.position_deviation),
      final_layer_norm(c.channels) {
  for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(c);
  if (c.projection_dim > 0) text_projection.emplace(c.channels, c.projection_dim, false);
}

template <Scalar T, Device D>
Var<T, D> TextEncoder<T, D>::operator()(const Tensor<std::int32_t, D>& ids) const {
  auto h = embed(ids);
  for (const auto& layer : layers) h = layer(h);
  return final_layer_norm(h);
}

template <Scalar T, Device D>
std::vector<Var<T, D>> TextEncoder<T, D>::hidden_states(const Tensor<std::int32_t, D>& ids) const {
  std::vector<Var<T, D>> states{embed(ids)};
  for (const auto& layer : layers) states.push_back(layer(states.back()));
  return states;
}

template <Scalar T, Device D>
Var<T, D> TextEncoder<T, D>::pooled(const Var<T, D>& last, const Tensor<std::int32_t, D>& ids) const {
  require<ShapeError>(ids.rank() == 2 && last.shape() == Shape{ids.dim(0), ids.dim(1), config.channels},
                      "TextEncoder: states ", last.shape(), " for ids ", ids.shape());
  const std::int64_t batch = ids.dim(0), length = ids.dim(1);
  const auto row = ids.template to<Cpu>();
  Tensor<std::int32_t> at(Shape{batch});
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::int32_t *begin = row.data() + b * length, *end = begin + length;
    const auto* found =
        config.eos_token_id == 2 ? std::max_element(begin, end) : std::find(begin, end, config.eos_token_id);
    at[b] = static_cast<std::int32_t>(b * length + (found == end ? 0 : found - begin));
  }
  const auto rows = autograd::reshape(last, Shape{batch * length, config.channels});
  const auto out = autograd::embedding(rows, at.template to<D>());
  return text_projection ? (*text_projection)(out) : out;
}

}  // namespace hypersd::nn
