// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/text/clip_tokenizer.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::stable_diffusion {

/// Prompts as a UNet is given them.
template <Scalar T, Device D = Cpu>
struct PromptEmbeds {
  Tensor<T, D> states;  ///< [B, L, C]: 768 channels for SD1.x, 1024 for SD2.x, 768 + 1280 for SDXL
  Tensor<T, D> pooled;  ///< SDXL: [B, 1280]; else empty
};

/// The embeddings of token ids, by the rules of diffusers. One encoder (SD1.x, SD2.x): its last hidden state after the
/// final norm. Two (SDXL): the last but one hidden states of both, side by side and without norm, and the pooled,
/// projected text of the second. `clip_skip` leaves out that many more layers of the states, not of the pooled text.
/// The ids of each encoder are [B, L]. Throws ShapeError and OptionError.
template <Scalar T, Device D>
PromptEmbeds<T, D> embed_prompts(const std::vector<nn::TextEncoder<T, D>>& encoders,
                                 const std::vector<Tensor<std::int32_t, D>>& ids, std::int64_t clip_skip = 0) {
  require<ShapeError>(encoders.size() == ids.size() && (ids.size() == 1 || ids.size() == 2),
                      "prompt: ", encoders.size(), " text encoders and ", ids.size(),
                      " lists of ids; one or two of both needed");
  const autograd::NoGrad guard;
  PromptEmbeds<T, D> out;
  std::vector<Tensor<T, D>> parts;
  for (std::size_t i = 0; i < encoders.size(); ++i) {
    const auto& encoder = encoders[i];
    const bool pair = encoders.size() == 2;
    const std::int64_t back = clip_skip + (pair ? 1 : 0), layers = encoder.config.layers;
    require<OptionError>(clip_skip >= 0 && back <= layers, "clip_skip = ", clip_skip, " is not in [0, ",
                         layers - (pair ? 1 : 0), "] for a text encoder of ", layers, " layers");
    const auto states = encoder.hidden_states(ids[i]);
    const auto& chosen = states[static_cast<std::size_t>(layers - back)];
    parts.push_back((pair ? chosen : encoder.final_layer_norm(chosen)).value());
    if (pair && i == 1) {
      require<OptionError>(encoder.text_projection.has_value(),
                           "prompt: SDXL's second text encoder needs a text projection (CLIPTextModelWithProjection)");
      out.pooled = encoder.pooled(encoder.final_layer_norm(states.back()), ids[i]).value();
    }
  }
  out.states = parts.size() == 1 ? parts[0] : ops::concat_last(parts);
  return out;
}

/// The text encoders of a checkpoint with their tokenizers.
template <Scalar T, Device D = Cpu>
class PromptEncoder {
 public:
  /// One encoder and tokenizer (SD1.x, SD2.x), or two (SDXL). The modules share their parameters with the caller's.
  /// Throws OptionError where numbers or lengths do not match.
  PromptEncoder(std::vector<nn::TextEncoder<T, D>> encoders, std::vector<text::ClipTokenizer> tokenizers)
      : encoders_(std::move(encoders)), tokenizers_(std::move(tokenizers)) {
    require<OptionError>(encoders_.size() == tokenizers_.size() && (encoders_.size() == 1 || encoders_.size() == 2),
                         "prompt: ", encoders_.size(), " text encoders and ", tokenizers_.size(),
                         " tokenizers; one or two of both needed");
    for (std::size_t i = 0; i < encoders_.size(); ++i)
      require<OptionError>(tokenizers_[i].max_length() <= encoders_[i].config.max_length, "prompt: tokenizer ", i + 1,
                           " pads to ", tokenizers_[i].max_length(), " ids, its text encoder has ",
                           encoders_[i].config.max_length, " positions");
  }

  [[nodiscard]] const std::vector<text::ClipTokenizer>& tokenizers() const { return tokenizers_; }

  /// Token ids of each encoder, [prompts, max_length]. `second` are the prompts of a second encoder; empty: the same.
  /// Throws FormatError for malformed UTF-8, ShapeError for lists of different lengths.
  [[nodiscard]] std::vector<Tensor<std::int32_t>> tokens(std::span<const std::string> prompts,
                                                         std::span<const std::string> second = {}) const {
    require<ShapeError>(second.empty() || second.size() == prompts.size(), "prompt: ", prompts.size(), " prompts and ",
                        second.size(), " for the second text encoder");
    std::vector<Tensor<std::int32_t>> out;
    for (std::size_t i = 0; i < tokenizers_.size(); ++i)
      out.push_back(tokenizers_[i](i == 1 && !second.empty() ? second : prompts));
    return out;
  }
  /// The embeddings of prompts, see `embed_prompts` and `tokens`.
  [[nodiscard]] PromptEmbeds<T, D> operator()(std::span<const std::string> prompts,
                                              std::span<const std::string> second = {},
                                              std::int64_t clip_skip = 0) const {
    std::vector<Tensor<std::int32_t, D>> ids;
    for (const auto& t : tokens(prompts, second)) ids.push_back(t.template to<D>());
    return embed_prompts(encoders_, ids, clip_skip);
  }
  /// What SDXL is given as negative prompt where there is none (`force_zeros_for_empty_prompt`): zeros. An empty text
  /// is another thing: it is encoded.
  [[nodiscard]] static PromptEmbeds<T, D> zeros(const PromptEmbeds<T, D>& like) {
    PromptEmbeds<T, D> out{Tensor<T, D>::zeros(like.states.shape()), {}};
    if (like.pooled.defined()) out.pooled = Tensor<T, D>::zeros(like.pooled.shape());
    return out;
  }

 private:
  std::vector<nn::TextEncoder<T, D>> encoders_;
  std::vector<text::ClipTokenizer> tokenizers_;
};

}  // namespace hypersd::stable_diffusion
