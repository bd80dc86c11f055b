// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prompts.hpp"
#include "sample.hpp"

#include <hypersd/diffusion/objective.hpp>

namespace fashion {

/// Noise and where the guided teacher's 25 steps take it, the classes in turn: what DMD's regression needs.
template <Device D>
struct Pairs {
  Prompts starts;
  Tensor<float, D> ends;

  /// Asks `teacher`, any denoiser of latents.
  template <class Denoiser>
  void draw(const Denoiser& teacher, const nn::TextEncoder<float, D>& text, double guidance, const Progress& progress) {
    const SampleOptions s{25, guidance, 0, 0};
    ends = sample_latents(teacher, text, starts.captions, starts.noise, s, progress, "pairs of the teacher");
  }
  /// Ends, condition and noise of the samples `ids`.
  [[nodiscard]] diffusion::Batch<float, D, Condition<D>> batch(const nn::TextEncoder<float, D>& text,
                                                               const std::vector<std::int64_t>& ids) const {
    return {take(ends, ids), condition_of(text, take(starts.captions, ids)), take(starts.noise, ids).template to<D>()};
  }
};

}  // namespace fashion
