// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/jump.hpp>
#include <hypersd/ops/random.hpp>

/// \file
/// From data to noise: x_t = alpha_t x_0 + sigma_t eps, and the noise eps itself.

namespace hypersd::diffusion {

/// x_t for x0 and noise [B, ...] at times t, sample by sample (the closed form of Eq 16). `kOrigin` gives x0 back.
/// Throws ShapeError, and OptionError for a time off the table.
template <class T, class D>
Tensor<T, D> add_noise(const NoiseTable& table, const Tensor<T, D>& x0, const Tensor<T, D>& noise, const Times& t) {
  detail::check_batch("add_noise", x0.shape(), noise.shape(), t);
  return detail::apply(sample_forms<T, D>(x0.dim(0),
                                          [&](std::size_t b) {
                                            const Level l = table.level(t[b]);
                                            return Form{l.alpha, l.sigma};
                                          }),
                       x0, noise);
}

/// What a network of prediction type `P` is trained to say at x_t: eps, v or x0 of the same x0 and noise.
template <Prediction P, class T, class D>
Tensor<T, D> training_target(const NoiseTable& table, P, const Tensor<T, D>& x0, const Tensor<T, D>& noise,
                             const Times& t) {
  detail::check_batch("training_target", x0.shape(), noise.shape(), t);
  return detail::apply(sample_forms<T, D>(x0.dim(0),
                                          [&](std::size_t b) {
                                            const Target w = P::target(table.level(t[b]));
                                            return Form{w.x0, w.eps};
                                          }),
                       x0, noise);
}

/// One uniform time in [low, high] for each of `batch` samples: sample b's is element `first + b` of stream `s`.
inline Times uniform_times(int low, int high, std::int64_t batch, Stream s, std::int64_t first = 0) {
  Times t;
  for (std::int64_t b = first; b < first + batch; ++b)
    t.push_back(low + static_cast<int>(integer_at(s, static_cast<std::uint64_t>(b), high - low + 1)));
  return t;
}
/// The same in [0, T-1].
inline Times uniform_times(const NoiseTable& table, std::int64_t batch, Stream s, std::int64_t first = 0) {
  return uniform_times(0, table.size() - 1, batch, s, first);
}

/// Standard normals of `shape` [B, ..., C] plus `offset` times one more normal for each sample and channel, common to
/// all positions (noise offset): variance 1 + offset^2. 0 draws none and changes nothing. Throws OptionError for a
/// negative offset. Sample b is drawn as number `first + b` of the streams.
template <class T, class D = Cpu>
Tensor<T, D> offset_noise(const Shape& shape, double offset, Stream noise, Stream shifts, std::int64_t first = 0) {
  require<OptionError>(offset >= 0, "noise offset ", offset, " is negative");
  auto z = ops::normal<T, D>(shape, noise, first * shape.numel_from(1));
  if (offset > 0) {
    require<ShapeError>(shape.rank() >= 2, "noise offset: a shape [B, ..., C] is needed, not ", shape);
    const std::int64_t channels = shape[shape.rank() - 1];
    const auto shift = ops::normal<T, D>(Shape{shape[0], channels}, shifts, first * channels);
    ops::map_into(z, ops::LinearCombination<Accumulator<T>>{1, static_cast<Accumulator<T>>(offset)}, z,
                  ops::per_channel(shift));
  }
  return z;
}

}  // namespace hypersd::diffusion
