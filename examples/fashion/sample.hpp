// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base.hpp"

#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

namespace fashion {

/// f over the leading axis in batches, results joined where f leaves them.
template <class F>
auto in_batches(const Tensor<float>& x, std::int64_t batch, F&& f) {
  decltype(f(x)) out;
  for (std::int64_t b = 0; b < x.dim(0); b += batch) {
    const std::int64_t end = std::min(x.dim(0), b + batch);
    const auto part = f(x.slice(b, end));
    if (b == 0) out = decltype(f(x))(part.shape().with(0, x.dim(0)));
    out.slice(b, end).copy_from(part);
  }
  return out;
}

/// The conditions of captions and of negative captions, [N, L] both; none of the latter are null captions.
template <Device D>
diffusion::GuidedCondition<Condition<D>> condition_of(const nn::TextEncoder<float, D>& text,
                                                      const Tensor<std::int32_t>& captions,
                                                      const Tensor<std::int32_t>& negative = {}) {
  const autograd::NoGrad guard;
  const auto against = negative.defined() ? negative : Tensor<std::int32_t>::zeros(captions.shape());
  return {Condition<D>{text(captions.template to<D>()), {}}, Condition<D>{text(against.template to<D>()), {}}};
}

/// How a set of samples is drawn: times of the steps, guidance (teacher) and stochasticity (student).
struct SampleOptions {
  std::int64_t steps = 4;
  double guidance = 1, eta = 0;
  std::uint64_t seed = 0;
  diffusion::Times times = {};         ///< instead of the trailing grid of `steps`
  Tensor<std::int32_t> negative = {};  ///< captions [N, L] that guidance leads away from; undefined: null captions
};

/// The part of the recipe that trains all weights for one step.
inline constexpr const char* whole_unet = "one-step-unet";

/// A network for one step from the time input `time`.
template <Device D>
struct OneStepModel {
  Net<D> net;
  diffusion::Time time;
  std::string title;
  [[nodiscard]] SampleOptions options() const { return {.steps = 1, .times = {time}}; }
};

/// Latents of `captions` [N, L] from `noise` [N, 8, 8, 4] by TCD steps (DDIM at eta 0) on the trailing grid or at
/// `o.times`. Captions and noise are the host's; the latents stay on the device.
template <class Denoiser, Device D>
Tensor<float, D> sample_latents(const Denoiser& net, const nn::TextEncoder<float, D>& text,
                                const Tensor<std::int32_t>& captions, const Tensor<float>& noise,
                                const SampleOptions& o, const Progress& progress = {}, const std::string& phase = {}) {
  using Sampler = diffusion::Sampler<diffusion::Tcd, Process, diffusion::ClassifierFree>;
  const Sampler sampler({.eta = o.eta}, {}, {.scale = o.guidance});
  diffusion::SampleOptions options;
  options.seed = o.seed;
  return in_batches(noise, 250, [&](const Tensor<float>& part) {
    const auto z = part.template to<D>();
    const std::int64_t first = options.first_sample, next = first + z.dim(0);
    if (!phase.empty()) notify(progress, {phase, first, noise.dim(0), {}, {}});
    const auto against = o.negative.defined() ? o.negative.slice(first, next) : Tensor<std::int32_t>{};
    const auto condition = condition_of(text, captions.slice(first, next), against);
    auto x = o.times.empty() ? sampler(net, z, condition, static_cast<int>(o.steps), options)
                             : sampler(net, z, condition, o.times, options);
    options.first_sample = next;
    if (!phase.empty()) notify(progress, {phase, next, noise.dim(0), {}, {}});
    return x;
  });
}

}  // namespace fashion
