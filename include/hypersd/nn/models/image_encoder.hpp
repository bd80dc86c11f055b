// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/models/text_encoder.hpp>

namespace hypersd::nn {

/// Sizes of CLIP's image encoder (a vision transformer); the default is ViT-L/14.
struct ImageEncoderConfig {
  std::int64_t image_size = 224, patch_size = 14;  ///< pixels of a side; the patch divides the image
  std::int64_t channels = 1024;                    ///< width of the hidden states
  std::int64_t layers = 24, heads = 16;            ///< transformer layers, attention heads
  std::int64_t mlp_channels = 4096;                ///< hidden size of the feed-forward layers
  std::int64_t projection = 768;                   ///< width of the image embedding
  bool quick_gelu = true;                          ///< x sigmoid(1.702 x) instead of the exact gelu

  /// Tokens: one for the class, one for each patch.
  [[nodiscard]] std::int64_t tokens() const { return 1 + (image_size / patch_size) * (image_size / patch_size); }
};

/// CLIP's image encoder with its projection (Radford et al., 2021), names as in transformers'
/// `CLIPVisionModelWithProjection`: the embedding on which LAION's aesthetic head works.
template <Scalar T, Device D = Cpu>
struct ImageEncoder {
  using value_type = T;
  using device_type = D;

  ImageEncoderConfig config;
  Conv2d<T, D> patch_embedding;
  Parameter<T, D> class_embedding;
  Embedding<T, D> position_embedding;
  LayerNorm<T, D> pre_layernorm;
  std::vector<TextEncoderLayer<T, D>> layers;
  LayerNorm<T, D> post_layernorm;
  Linear<T, D> visual_projection;

  ImageEncoder() = default;
  /// Throws OptionError unless the patch divides the image and the heads the width.
  explicit ImageEncoder(const ImageEncoderConfig& c)
      : config(c),
        patch_embedding(3, c.channels, c.patch_size, c.patch_size, 0),
        class_embedding(Shape{c.channels}, Initializer::normal(0.02)),
        position_embedding(c.tokens(), c.channels, 0.02),
        pre_layernorm(c.channels),
        post_layernorm(c.channels),
        visual_projection(c.channels, c.projection, false) {
    require<OptionError>(c.patch_size >= 1 && c.image_size % c.patch_size == 0 && c.channels % c.heads == 0,
                         "image encoder: patches of ", c.patch_size, " in ", c.image_size, " pixels, ", c.heads,
                         " heads of ", c.channels, " channels");
    const TextEncoderConfig layer{.channels = c.channels,
                                  .heads = c.heads,
                                  .mlp_channels = c.mlp_channels,
                                  .causal = false,
                                  .quick_gelu = c.quick_gelu};
    patch_embedding.bias = {};
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(layer);
  }

  /// Images [B, image_size, image_size, 3], normalised as CLIP's (`clip_pixels`) -> embeddings [B, projection], of any
  /// norm. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& images) const {
    require<ShapeError>(images.rank() == 4 && images.dim(1) == config.image_size &&
                            images.dim(2) == config.image_size && images.dim(3) == 3,
                        "image encoder: images ", images.shape(), ", [B, ", config.image_size, ", ", config.image_size,
                        ", 3] needed");
    const std::int64_t batch = images.dim(0), width = config.channels, patches = config.tokens() - 1;
    const auto rows = autograd::reshape(patch_embedding(images), Shape{batch, patches * width});
    // One row a sample: the class token, then the patches; positions are a vector that all samples share.
    Var<T, D> first(Tensor<T, D>::zeros(Shape{batch, width}));
    first = autograd::add(first, ops::per_channel(class_embedding.get()));
    auto h = autograd::concat_channels(first, rows);
    h = autograd::add(
        h, ops::per_channel(autograd::reshape(position_embedding.weight.get(), Shape{config.tokens() * width})));
    h = pre_layernorm(autograd::reshape(h, Shape{batch, config.tokens(), width}));
    for (const auto& layer : layers) h = layer(h);
    const auto pooled = autograd::slice_channels(autograd::reshape(h, Shape{batch, config.tokens() * width}), 0, width);
    return visual_projection(post_layernorm(pooled));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "vision_model.embeddings.class_embedding", class_embedding,
                  "vision_model.embeddings.patch_embedding", patch_embedding,
                  "vision_model.embeddings.position_embedding", position_embedding, "vision_model.pre_layrnorm",
                  pre_layernorm, "vision_model.encoder.layers", layers, "vision_model.post_layernorm", post_layernorm,
                  "visual_projection", visual_projection);
  }
};

/// Keys' cubic kernel with a = -1/2 (Keys, 1981, "Cubic convolution interpolation", Eq 15), support [-2, 2].
inline double keys_cubic(double x) {
  const double a = std::abs(x);
  if (a < 1) return (1.5 * a - 2.5) * a * a + 1;
  return a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
}

/// The bicubic filter that resizes an axis of `from` pixels to `to`, as a matrix [to, from] whose rows sum to 1. When
/// shrinking the kernel is widened by from / to against aliasing; pixels beyond the border have no weight. The filter
/// of Pillow, and of PyTorch's `interpolate(mode="bicubic", antialias=True)`. Throws ShapeError for an empty axis.
template <Floating T>
Tensor<T> bicubic_matrix(std::int64_t from, std::int64_t to) {
  require<ShapeError>(from >= 1 && to >= 1, "bicubic_matrix: an axis of ", from, " pixels to ", to);
  auto matrix = Tensor<T>::zeros(Shape{to, from});
  const double ratio = static_cast<double>(from) / static_cast<double>(to), scale = std::max(1.0, ratio);
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * ratio;
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - 2 * scale + 0.5));
    const auto last = std::min<std::int64_t>(from, static_cast<std::int64_t>(centre + 2 * scale + 0.5));
    const auto weight = [&](std::int64_t j) { return keys_cubic((static_cast<double>(j) + 0.5 - centre) / scale); };
    double sum = 0;
    for (std::int64_t j = first; j < last; ++j) sum += weight(j);
    for (std::int64_t j = first; j < last; ++j) matrix[i * from + j] = converted<T>(weight(j) / sum);
  }
  return matrix;
}

/// Pixels [B, H, W, 3] in [-1, 1] -> what CLIP's image encoder is given: resized to `size` x `size` by the bicubic
/// filter with antialiasing, then mean and deviation of CLIP's training images. Differentiable.
template <class T, class D>
Var<T, D> clip_pixels(const Var<T, D>& images, std::int64_t size = 224) {
  static constexpr double mean[] = {0.48145466, 0.4578275, 0.40821073},
                          deviation[] = {0.26862954, 0.26130258, 0.27577711};
  auto x = images;
  for (const int axis : {1, 2}) {
    if (x.dim(axis) == size) continue;
    // One matmul an axis: the axis last, times the filter's matrix.
    const std::vector<int> last = axis == 1 ? std::vector<int>{0, 2, 3, 1} : std::vector<int>{0, 1, 3, 2};
    const std::vector<int> back = axis == 1 ? std::vector<int>{0, 3, 1, 2} : std::vector<int>{0, 1, 3, 2};
    const Var<T, D> filter(bicubic_matrix<T>(x.dim(axis), size).template to<D>());
    x = autograd::permute(autograd::linear(autograd::permute(x, last), filter), back);
  }
  std::vector<T> scale, shift;
  for (int c = 0; c < 3; ++c) {  // (x / 2 + 1 / 2 - mean) / deviation
    scale.push_back(converted<T>(0.5 / deviation[c]));
    shift.push_back(converted<T>((0.5 - mean[c]) / deviation[c]));
  }
  const auto by = autograd::mul(x, ops::per_channel(Tensor<T, D>::from(Shape{3}, scale)));
  return autograd::add(by, ops::per_channel(Tensor<T, D>::from(Shape{3}, shift)));
}

}  // namespace hypersd::nn
