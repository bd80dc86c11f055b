// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <hypersd/core/progress.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/stable_diffusion/scheduler.hpp>

/// \file
/// The loop of a planned run. Latents are [B, H, W, C].

namespace hypersd::stable_diffusion {

/// What a run is given beside plan, network and latents.
template <class T, class D>
struct DenoiseOptions {
  std::vector<double> guidance{1};  ///< scale of each sample, or one for all; up to 1 there is no guidance
  double guidance_rescale = 0;      ///< in [0, 1], see `diffusion::ClassifierFree`
  std::uint64_t seed = 0;           ///< of the noise that the solver injects
  std::int64_t first_sample = 0;    ///< number of the first sample where a batch is drawn in parts
  /// The next noise [B, H, W, C] in the order of the steps, in place of noise by the seed.
  std::function<Tensor<T, D>()> noise{};
  /// Called before the network is called in a step, counted from 0.
  std::function<void(std::int64_t step)> before{};
  /// Called after each step with the latents as diffusers has them. `clone()` what is to be kept.
  std::function<void(std::int64_t step, const Tensor<T, D>& latents)> after{};
  Progress progress{};  ///< phase `sample`, one event a step
};

/// Latents at the beginning of a run from pure noise: `noise` is standard normal.
template <class T, class D>
Tensor<T, D> start_from_noise(const RunPlan& plan, const Tensor<T, D>& noise) {
  using A = Accumulator<T>;
  return plan.start_scale == 1 ? noise : ops::map(ops::Affine<A>{static_cast<A>(plan.start_scale), 0}, noise);
}

/// Latents at the beginning of image-to-image: those of the image, noised to the run's first level.
template <class T, class D>
Tensor<T, D> start_from_image(const RunPlan& plan, const Tensor<T, D>& latents, const Tensor<T, D>& noise) {
  require_same_shape("image-to-image: noise", latents.shape(), noise.shape());
  const diffusion::Level l = plan.first_level();
  const std::vector<double> a(static_cast<std::size_t>(latents.dim(0)), l.alpha),
      b(static_cast<std::size_t>(latents.dim(0)), l.sigma);
  return diffusion::combine(
      diffusion::SampleForms<T, D>{diffusion::sample_scales<T, D>(a), diffusion::sample_scales<T, D>(b)}, latents,
      noise);
}

/// Runs the plan: from latents `start` (`start_from_noise`, `start_from_image`) to clean ones, as diffusers has them.
/// `net(x, t, condition)` predicts. With guidance `G` = ClassifierFree, `condition` is a `diffusion::GuidedCondition`,
/// or the network has `null_condition(condition)`; with EmbeddedGuidance the network takes w = scale - 1 (students of
/// latent consistency). Throws OptionError and ShapeError, and what the callbacks throw.
template <diffusion::Guidance G = diffusion::ClassifierFree, class Net, class T, class D, class C>
Tensor<T, D> denoise(const RunPlan& plan, const Net& net, const Tensor<T, D>& start, const C& condition,
                     const DenoiseOptions<T, D>& o = {}) {
  require<ShapeError>(start.rank() > 0 && start.size() > 0, "denoise: latents of shape ", start.shape());
  const std::int64_t batch = start.dim(0), inner = start.size() / batch;
  require<OptionError>(o.guidance.size() == 1 || static_cast<std::int64_t>(o.guidance.size()) == batch,
                       "denoise: ", o.guidance.size(), " guidance scales for ", batch, " samples");
  constexpr bool embedded = diffusion::detail::EmbedsGuidance<G>;
  std::vector<diffusion::GuidanceWeights> weights;
  if constexpr (G::guided || embedded)
    for (std::int64_t b = 0; b < batch; ++b)
      weights.push_back(
          diffusion::guidance_weights(o.guidance[o.guidance.size() == 1 ? 0 : static_cast<std::size_t>(b)]));
  typename G::Options guidance{};
  if constexpr (requires { guidance.rescale; }) guidance.rescale = o.guidance_rescale;
  const diffusion::Sampler<diffusion::Ddim, RunProcess, G> sampler({}, plan.process,
                                                                   guidance);  // any solver: it is planned
  const diffusion::SampleRun<T, D> run(plan.process, plan.steps, batch, weights, embedded, plan.clip_x0 > 0,
                                       plan.clip_keeps_eps);
  diffusion::SampleOptions options;
  options.clip_x0 = plan.clip_x0;
  options.clip_keeps_eps = plan.clip_keeps_eps;
  options.scale_noise = false;

  const auto count = static_cast<std::int64_t>(plan.steps.size());
  const auto noise = [&](std::size_t i, std::size_t e, std::size_t) -> Tensor<T, D> {
    if (plan.steps[i].evaluations[e].update.noise == 0) return {};
    if (!o.noise)
      return ops::normal<T, D>(start.shape(), diffusion::solver_noise(o.seed, i, e), o.first_sample * inner);
    auto given = o.noise();
    require_same_shape("denoise: given noise", start.shape(), given.shape());
    return given;
  };
  const auto as_peer = [&](std::size_t i, const Tensor<T, D>& x) {
    using A = Accumulator<T>;
    const double factor = plan.peer_factors[i];
    return factor == 1 ? x : ops::map(ops::Affine<A>{static_cast<A>(factor), 0}, x);
  };
  notify(o.progress, {"sample", 0, count, {}, {}});
  if (o.before) o.before(0);
  const auto finished = [&](std::size_t i, const Tensor<T, D>& x) {
    const auto done = static_cast<std::int64_t>(i) + 1;
    if (o.after) o.after(done - 1, as_peer(i, x));
    notify(o.progress, {"sample", done, count, {}, {}});
    if (o.before && done < count) o.before(done);
  };
  return as_peer(plan.steps.size() - 1, sampler.sample(run, net, start, condition, options, noise, finished));
}

}  // namespace hypersd::stable_diffusion
