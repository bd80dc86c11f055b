// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cache.hpp"

#include <hypersd/diffusion/predictions/any_prediction.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/sum.hpp>
#include <hypersd/feedback/decoder.hpp>
#include <hypersd/feedback/frozen.hpp>
#include <hypersd/feedback/hinge.hpp>
#include <hypersd/feedback/refl.hpp>
#include <hypersd/feedback/stay_close.hpp>
#include <hypersd/nn/lora_state.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/pipeline/recipe.hpp>
#include <hypersd/stable_diffusion/reward_models.hpp>
#include <hypersd/text/word_pieces.hpp>
#include <optional>

/// \file
/// The three parts of the paper on a Stable Diffusion checkpoint.

namespace distill_lora {

/// The checkpoint's process: its table of levels and what its UNet predicts, both read from its scheduler.
using Process = diffusion::Process<diffusion::NoiseTable, diffusion::AnyPrediction>;
template <Device D>
using Net = nn::Unet<float, D>;
template <Device D>
using Fake = distill::FakeScore<Net<D>, Process>;

/// Latents to pixels, differentiably; activations are recomputed, since the decoder's take more than the UNet's.
template <Device D>
struct Decode {
  nn::Autoencoder<float, D> vae;
  Var<float, D> operator()(const Var<float, D>& z) const { return vae.from_latent(z); }
};

/// LAION's aesthetic predictor; the prompt does not matter to it.
template <Device D>
struct Aesthetic {
  sd::AestheticReward<float, D> reward;
  Var<float, D> operator()(const Var<float, D>& pixels, const Condition<D>&) const { return reward(pixels); }
};

/// ImageReward with the caption of each sample.
template <Device D>
struct Preference {
  nn::ImageReward<float, D> reward;
  std::vector<std::vector<std::int32_t>> captions;  ///< tokens of all samples
  Var<float, D> operator()(const Var<float, D>& pixels, const Condition<D>& condition) const {
    std::vector<std::vector<std::int32_t>> ids;
    for (const std::int64_t i : condition.samples) ids.push_back(captions.at(static_cast<std::size_t>(i)));
    return reward(pixels, ids);
  }
};

/// The rewards that the options name, each behind a hinge.
template <Device D>
struct Rewards {
  std::optional<feedback::Hinge<Aesthetic<D>>> aesthetic{};
  std::optional<feedback::Hinge<Preference<D>>> preference{};

  /// Loads them. `captions` are those of all samples. Throws OptionError for a vocabulary that is larger than the
  /// network's, and what the loaders throw.
  static Rewards load(const Options& o, const std::vector<std::string>& captions) {
    Rewards out;
    if (!o.aesthetic.empty())
      out.aesthetic.emplace(Aesthetic<D>{sd::load_aesthetic<float, D>(o.clip, o.aesthetic)}, o.reward_target, 1,
                            "aesthetic");
    if (o.image_reward.empty()) return out;
    Preference<D> reward{sd::load_image_reward<float, D>(o.image_reward), {}};
    const auto tokenizer = text::WordPieceTokenizer::open(o.image_reward_vocabulary);
    const nn::BlipConfig& sizes = reward.reward.blip.config;
    for (const std::string& caption : captions) {
      // ImageReward was trained on 35 tokens.
      reward.captions.push_back(tokenizer.sequence(caption, std::min<std::int64_t>(35, sizes.max_length)));
      for (const std::int32_t id : reward.captions.back())
        require<OptionError>(id < sizes.vocabulary, "--image-reward-vocabulary ",
                             io::in_quotes(o.image_reward_vocabulary), " has a token with id ", id, ", ",
                             io::in_quotes(o.image_reward), " has ", sizes.vocabulary, " tokens");
    }
    out.preference.emplace(std::move(reward), o.image_reward_target, 1, "image_reward");
    return out;
  }

  /// The sum of the hinges.
  diffusion::LossResult<float, D> operator()(const Var<float, D>& pixels, const Condition<D>& condition) const {
    diffusion::LossResult<float, D> out;
    const auto add = [&](const auto& hinge) {
      if (!hinge) return;
      auto one = (*hinge)(pixels, condition);
      out.loss = out.loss.defined() ? autograd::add(out.loss, one.loss) : one.loss;
      for (auto& d : one.diagnostics) out.diagnostics.push_back(std::move(d));
    };
    add(aesthetic);
    add(preference);
    return out;
  }
};

/// TSCD through the stages. [Hyper-SD Eq. 12]
template <Device D>
auto tscd_part(const Options& o, const Process& process, const Batches<D>& batches) {
  using Rule = distill::WithinSegments<>;
  using Tscd = distill::Consistency<Rule, Process, distill::Huber>;
  return pipeline::staged("tscd", o.stages, batches,
                          {.steps = o.stage_steps,
                           .learning_rate = o.learning_rate,
                           .lora = {.rank = o.rank},
                           .target_decay = o.target_decay},
                          [&](int k, bool) {
                            return Tscd(process, {.guidance_min = o.guidance_min, .guidance_max = o.guidance_max}, {},
                                        Rule{k});
                          });
}

/// The rewards at the student's own samples, held near the student before. [Hyper-SD Eq. 10 and 13]
template <Device D>
auto feedback_part(const Options& o, const Process& process, const Batches<D>& batches,
                   const sd::Model<float, D>& model, const Rewards<D>& rewards) {
  using distill::weighted;
  const feedback::RolloutOptions rollout{};
  const feedback::Checkpointed decode{Decode<D>{feedback::frozen(model.vae)}};
  const auto objective =
      distill::sum_of(weighted(1, feedback::Refl(process, decode, rewards, rollout)),
                      weighted(o.stay_close, feedback::StayClose<Process>(process, rollout), "stay"));
  return pipeline::part(pipeline::Phase{"feedback",
                                        objective,
                                        batches,
                                        pipeline::NewAdapter{{.rank = o.rank, .name = "feedback"}},
                                        {.steps = o.feedback_steps, .learning_rate = o.feedback_lr}});
}

/// Distribution matching of the first step, which keeps the later ones. [Hyper-SD Eq. 8]
template <Device D>
auto one_step_part(const Options& o, const Process& process, const Batches<D>& batches, Fake<D>& fake) {
  using distill::weighted;
  const double guidance = 0.5 * (o.guidance_min + o.guidance_max);
  const auto objective =
      distill::sum_of(weighted(1, distill::Dmd<Fake<D>, Process>(process, &fake, {.guidance = guidance})),
                      weighted(o.preserve, distill::Preserve<distill::Anywhere, Process>(process), "preserve"));
  return pipeline::part(pipeline::Phase{"one-step",
                                        objective,
                                        batches,
                                        pipeline::SameAdapter{},
                                        {.steps = o.one_step_steps, .learning_rate = o.one_step_lr}});
}

/// All adapters of a network as one, side by side: what the parts have trained, in one file. The factors of each are
/// scaled by its alpha / rank, and the alpha of the sum is its rank.
template <Device D>
nn::StateDict<float> one_lora(const Net<D>& net) {
  nn::StateDict<float> state;
  Net<D> handles = net;
  nn::for_each_layer(
      handles,
      [&](const std::string& path, nn::AdaptedLayer<float, D>& layer) {
        std::vector<Tensor<float>> downs, ups;
        for (const auto& a : layer.adapters) {
          downs.push_back(nn::to_file_layout(a.down.get().value().template to<Cpu>()));
          ups.push_back(
              ops::map(ops::Affine<float>{static_cast<float>(a.scale()), 0}, a.up.get().value().template to<Cpu>()));
        }
        if (downs.empty()) return;
        auto up = ops::concat_last(ups);
        const std::int64_t rank = up.dim(1);
        if (layer.weight.rank() == 4) up = up.reshape({up.dim(0), rank, 1, 1});
        state.emplace(path + ".lora_A.weight", ops::concat_first(downs));
        state.emplace(path + ".lora_B.weight", up);
        state.emplace(path + ".alpha", Tensor<float>::full(Shape{}, static_cast<float>(rank)));
      },
      "unet");
  return state;
}

}  // namespace distill_lora
