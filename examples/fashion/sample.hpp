// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base.hpp"

#include <hypersd/diffusion/guidance.hpp>

namespace fashion {

/// f over the leading axis in batches, results joined.
template <class F>
Tensor<float> in_batches(const Tensor<float>& x, std::int64_t batch, F&& f) {
  Tensor<float> out;
  for (std::int64_t b = 0; b < x.dim(0); b += batch) {
    const std::int64_t end = std::min(x.dim(0), b + batch);
    const Tensor<float> part = f(x.slice(b, end));
    if (b == 0) out = Tensor<float>(part.shape().with(0, x.dim(0)));
    out.slice(b, end).copy_from(part);
  }
  return out;
}

/// The condition of captions and the null condition of as many samples.
inline diffusion::GuidedCondition<Condition> condition_of(const nn::TextEncoder<float>& text,
                                                          const Tensor<std::int32_t>& captions) {
  const autograd::NoGrad guard;
  const auto null = Tensor<std::int32_t>::zeros(captions.shape());
  return {Condition{text(captions), {}}, Condition{text(null), {}}};
}

/// How a set of samples is drawn: times of the steps, guidance (teacher) and stochasticity (student).
struct SampleOptions {
  std::int64_t steps = 4;
  double guidance = 1, eta = 0;
  std::uint64_t seed = 0;
};

/// Latents of `captions` [N, L] from `noise` [N, 8, 8, 4] by TCD steps (DDIM at eta 0) on the trailing grid.
inline Tensor<float> sample_latents(const Net& net, const nn::TextEncoder<float>& text,
                                    const Tensor<std::int32_t>& captions, const Tensor<float>& noise,
                                    const SampleOptions& o, const Progress& progress = {}, const std::string& phase = {}) {
  constexpr std::int64_t batch = 250;
  const auto table = diffusion::noise_table<diffusion::ScaledLinear>();
  const auto steps = static_cast<double>(o.steps);
  diffusion::Times grid;
  for (std::int64_t i = 0; i < o.steps; ++i)
    grid.push_back(static_cast<int>(std::nearbyint(table.size() - static_cast<double>(i) * table.size() / steps)) - 1);
  std::int64_t done = 0;
  return in_batches(noise, batch, [&](const Tensor<float>& z) {
    const std::int64_t first = done, n = z.dim(0);
    const auto condition = condition_of(text, captions.slice(first, first + n));
    auto x = z;
    for (std::size_t i = 0; i < grid.size(); ++i) {
      const bool last = i + 1 == grid.size();
      const int from = grid[i], next = last ? 0 : grid[i + 1];
      const int to = static_cast<int>(std::floor(static_cast<float>(1 - o.eta) * static_cast<float>(next)));
      const auto b = static_cast<std::size_t>(n);
      const diffusion::Times t(b, from), s(b, to);
      const auto e = diffusion::predict_guided(net, x, diffusion::time_tensor<float>(t), condition,
                                               std::vector<double>(b, o.guidance));
      x = diffusion::jump(table, diffusion::Epsilon{}, x, e, t, s);
      if (last || to == next) continue;
      const auto r = diffusion::renoise(table, to, next);
      const auto fresh = ops::normal<float>(x.shape(), stream(o.seed, "sample.noise", i), first * x.shape().numel_from(1));
      ops::map_into(x, ops::LinearCombination<float>{static_cast<float>(r.x), static_cast<float>(r.noise)}, x, fresh);
    }
    done += n;
    if (!phase.empty()) report(progress, {phase, done, noise.dim(0), {}, {}});
    return x;
  });
}

}  // namespace fashion
