// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/stable_diffusion/images.hpp>
#include <hypersd/stable_diffusion/model.hpp>
#include <hypersd/stable_diffusion/prompt.hpp>
#include <optional>
#include <string>
#include <vector>

namespace hypersd::stable_diffusion {

/// SDXL's size condition. Without values: original and target size are those of the image, crops are 0.
struct SizeCondition {
  std::optional<SizePair> original_size, crops, target_size;

  /// [original height, width, crop top, left, target height, width].
  [[nodiscard]] std::array<double, 6> numbers(SizePair image) const {
    const SizePair o = original_size.value_or(image), c = crops.value_or(SizePair{0, 0}),
                   t = target_size.value_or(image);
    std::array<double, 6> out{};
    for (std::size_t i = 0; i < 2; ++i) {
      out[i] = static_cast<double>(o[i]);
      out[2 + i] = static_cast<double>(c[i]);
      out[4 + i] = static_cast<double>(t[i]);
    }
    return out;
  }
};

/// The texts of a batch, and what else conditions the UNet.
struct PromptOptions {
  std::vector<std::string> prompts{""};        ///< one or more; each is drawn `images_per_prompt` times
  std::optional<std::string> prompt_2;         ///< for SDXL's second encoder; absent: the prompts
  std::optional<std::string> negative_prompt;  ///< absent: the empty text; in SDXL: zeros
  std::optional<std::string> negative_prompt_2;
  std::int64_t images_per_prompt = 1;
  std::int64_t clip_skip =
      0;                ///< layers of the text encoders that are left out; not of negative prompts, as in diffusers
  SizeCondition sizes;  ///< SDXL
  /// SDXL's size condition of the negative branch; used if original and target size are given, else as `sizes`.
  SizeCondition negative_sizes;

  /// Images in the batch.
  [[nodiscard]] std::int64_t samples() const { return static_cast<std::int64_t>(prompts.size()) * images_per_prompt; }
};

/// A batch of encoded prompts.
template <Scalar T, Device D = Cpu>
struct PromptBatch {
  PromptEmbeds<T, D> positive, negative;  ///< a row for each image; negative: only with guidance
  diffusion::GuidedCondition<nn::UnetCondition<T, D>> condition;  ///< what the sampler is given
  std::vector<Tensor<std::int32_t>> tokens;                       ///< ids of each encoder, [prompts, 77]
};

namespace detail {

/// Rows of x [B, ...], each `count` times in a row.
template <class T, class D>
Tensor<T, D> repeat_rows(const Tensor<T, D>& x, std::int64_t count) {
  if (count == 1 || !x.defined()) return x;
  std::vector<Tensor<T, D>> rows;
  for (std::int64_t b = 0; b < x.dim(0); ++b)
    for (std::int64_t i = 0; i < count; ++i) rows.push_back(x.slice(b, b + 1));
  return ops::concat_first(rows);
}

template <class T, class D>
nn::UnetCondition<T, D> unet_condition(const PromptEmbeds<T, D>& e, const SizeCondition& sizes, SizePair image,
                                       const nn::UnetConfig& config) {
  nn::UnetCondition<T, D> out{Var<T, D>(e.states), {}};
  if (config.addition_embedding_dim == 0) return out;
  const std::int64_t batch = e.states.dim(0);
  Tensor<Accumulator<T>> ids(Shape{batch, 6});
  const auto numbers = sizes.numbers(image);
  for (std::int64_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<Accumulator<T>>(numbers[static_cast<std::size_t>(i % 6)]);
  out.added = Var<T, D>(nn::text_time_features(e.pooled, ids.template to<D>(), config));
  return out;
}

}  // namespace detail

/// Encodes a batch as diffusers does for an image of `image` pixels. With `guided` also the negative prompts, else the
/// null condition is the condition itself. Throws OptionError for options of SDXL that another model does not have, and
/// as `PromptEncoder`.
template <Scalar T, Device D>
PromptBatch<T, D> encode_batch(const Model<T, D>& model, const PromptEncoder<T, D>& encoder, const PromptOptions& o,
                               SizePair image, bool guided) {
  const bool xl = model.family == Family::sdxl;
  require<OptionError>(!o.prompts.empty() && o.images_per_prompt >= 1, "prompts: ", o.prompts.size(), " prompts, ",
                       o.images_per_prompt, " images each");
  require<OptionError>(xl || (!o.prompt_2 && !o.negative_prompt_2),
                       "a prompt for the second text encoder is given, but only SDXL has one");
  const auto sized = [](const SizeCondition& s) { return s.original_size || s.crops || s.target_size; };
  require<OptionError>(xl || (!sized(o.sizes) && !sized(o.negative_sizes)),
                       "a size condition (original size, crops, target size) is given, but only SDXL has one");
  const auto all = [&](const std::optional<std::string>& text) {
    return text ? std::vector<std::string>(o.prompts.size(), *text) : std::vector<std::string>{};
  };
  PromptBatch<T, D> out;
  const std::vector<std::string> second = all(o.prompt_2);
  out.tokens = encoder.tokens(o.prompts, second);
  const auto rows = [&](const PromptEmbeds<T, D>& e) {
    return PromptEmbeds<T, D>{detail::repeat_rows(e.states, o.images_per_prompt),
                              detail::repeat_rows(e.pooled, o.images_per_prompt)};
  };
  const PromptEmbeds<T, D> positive = encoder(o.prompts, second, o.clip_skip);
  out.positive = rows(positive);
  out.condition.conditional = detail::unet_condition(out.positive, o.sizes, image, model.unet.config());
  out.condition.null = out.condition.conditional;
  if (!guided) return out;
  if (xl && !o.negative_prompt && model.force_zeros_for_empty_prompt)
    out.negative = rows(PromptEncoder<T, D>::zeros(positive));
  else
    out.negative = rows(encoder(all(o.negative_prompt.value_or("")), all(o.negative_prompt_2)));
  const bool own = o.negative_sizes.original_size && o.negative_sizes.target_size;
  out.condition.null =
      detail::unet_condition(out.negative, own ? o.negative_sizes : o.sizes, image, model.unet.config());
  return out;
}

}  // namespace hypersd::stable_diffusion
