// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/models/classifier.hpp>

namespace hypersd::nn {

/// Sizes of a small reward model; the default suits 32 x 32 x 1 images and captions of width 64.
struct RewardModelConfig {
  std::int64_t in_channels = 1;  ///< channels of images
  std::int64_t caption = 64;     ///< width of the caption embedding
  /// Width of each level; the first convolution of each halves the size.
  std::vector<std::int64_t> channels{24, 48, 96};
  std::int64_t features = 64;        ///< width of the features of image and caption
  std::int64_t norm_num_groups = 8;  ///< a divisor of all widths
};

/// The reward of an image for its caption, one number: pooled features f of the convolution blocks of `Classifier`, a
/// projection g of the caption embedding, and an MLP on [f, g, f g]. Trained on pairs by `feedback::bradley_terry`; a
/// `feedback::Reward`.
template <Scalar T, Device D = Cpu>
struct RewardModel {
  using value_type = T;
  using device_type = D;

  RewardModelConfig config;
  std::vector<ConvNormSilu<T, D>> blocks;
  Linear<T, D> caption_proj, fc, head;

  RewardModel() = default;
  explicit RewardModel(const RewardModelConfig& c)
      : config(c),
        blocks(conv_blocks<T, D>(c)),
        caption_proj(c.caption, c.features),
        fc(3 * c.features, c.features),
        head(c.features, 1) {}
  /// Images [B, H, W, in_channels] and captions [B, caption] or [B, L, caption] (then their mean over the L tokens)
  /// -> rewards [B]. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& images, const Var<T, D>& caption) const {
    require<ShapeError>((caption.rank() == 2 || caption.rank() == 3) && caption.dim(-1) == config.caption &&
                            images.rank() == 4 && caption.dim(0) == images.dim(0),
                        "RewardModel: images ", images.shape(), ", captions ", caption.shape(), "; [B, H, W, ",
                        config.in_channels, "] and [B, ", config.caption, "] or [B, L, ", config.caption, "] needed");
    auto h = images;
    for (const auto& block : blocks) h = block(h);
    const auto f = autograd::mean_positions(h);
    const auto g = caption_proj(caption.rank() == 3 ? autograd::mean_positions(caption) : caption);
    const auto joint = autograd::concat_channels(std::vector<Var<T, D>>{f, g, autograd::mul(f, g)});
    return autograd::reshape(head(autograd::silu(fc(joint))), Shape{images.dim(0)});
  }
  Var<T, D> operator()(const Var<T, D>& images, const Tensor<T, D>& caption) const {
    return (*this)(images, Var<T, D>(caption));
  }
  /// The condition of a text-to-image network, whose `tokens` [B, L, caption] are the caption.
  template <class Condition>
  requires requires(const Condition& c) {
    { c.tokens } -> std::convertible_to<const Var<T, D>&>;
  }
  Var<T, D> operator()(const Var<T, D>& images, const Condition& condition) const {
    return (*this)(images, condition.tokens);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "blocks", blocks, "caption_proj", caption_proj, "fc", fc, "head", head);
  }
};

}  // namespace hypersd::nn
