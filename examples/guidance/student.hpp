// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fashion/finished_run.hpp>
#include <hypersd/distill/keep_guidance.hpp>

/// \file
/// TSCD whose student keeps guidance: it is distilled under random scales and negative captions.

namespace guidance {

using namespace fashion;

/// Latents of real images under their caption, or none, against a negative caption: none, or another class's.
template <Device D>
struct NegativeBatches {
  const Dataset& dataset;
  const Latents<D>& latents;
  const nn::TextEncoder<float, D>& text;
  std::uint64_t seed;
  data::Batches order;

  NegativeBatches(const Dataset& d, const Latents<D>& l, const nn::TextEncoder<float, D>& t, std::int64_t batch,
                  std::uint64_t s)
      : dataset(d), latents(l), text(t), seed(s), order(l.values.dim(0), batch, s + 3) {}

  diffusion::Batch<float, D, Condition<D>> operator()(std::int64_t iteration) const {
    const auto ids = order(iteration);
    const auto labels = dataset.images.train.labels(ids);
    const Stream s = stream(seed, "guidance.negative", static_cast<std::uint64_t>(iteration));
    Tensor<std::int32_t> others(labels.shape());
    for (std::int64_t b = 0; b < labels.size(); ++b) {
      const auto away = 1 + integer_at(s, static_cast<std::uint64_t>(b), dataset.classes() - 1);
      others[b] = static_cast<std::int32_t>((labels[b] + away) % dataset.classes());
    }
    const auto null = data::Captions::null(dataset.words.longest());
    const auto sub = static_cast<std::uint64_t>(iteration);
    const auto positive =
        diffusion::drop_condition(dataset.captions(labels), null, 0.1, stream(seed, "guidance.drop", sub));
    const auto negative =
        diffusion::drop_condition(dataset.captions(others), null, 0.5, stream(seed, "guidance.drop negative", sub));
    return {take(latents.values, ids), condition_of(text, positive, negative)};
  }
};

/// Trains the student through the stages 8, 4, 2, 1 with scales from 1 to `scale_max`. Huber: under MSE the largest
/// scales, whose differences grow with the scale, would weigh most.
template <Device D>
Net<D> train_student(const Run& run, const NegativeBatches<D>& batches, const Teacher<D>& teacher, std::int64_t steps,
                     double scale_max) {
  using Rule = distill::WithinSegments<>;
  using Tscd = distill::KeepGuidance<distill::Consistency<Rule, Process, distill::Huber>>;
  const distill::ConsistencyOptions options{.guidance_min = 1, .guidance_max = scale_max};
  const auto part = pipeline::staged("student", distill::HyperSdStages::segments(), batches,
                                     {.steps = std::vector<std::int64_t>(distill::HyperSdStages::size, steps),
                                      .learning_rate = run.options.distill_lr,
                                      .lora = {.rank = run.options.rank}},
                                     [&](int k, bool) { return Tscd(Process{}, options, distill::Huber{}, Rule{k}); });
  State<D> state{teacher.unet, teacher.unet};
  pipeline::run_part(run.session(), part, state);
  return nn::merge_lora(state.student);
}

}  // namespace guidance
