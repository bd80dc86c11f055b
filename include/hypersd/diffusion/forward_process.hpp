// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/jump.hpp>
#include <hypersd/ops/random.hpp>

/// \file
/// From data to noise: x_t = alpha_t x_0 + sigma_t eps, and the noise eps itself.

namespace hypersd::diffusion {

/// x_t for x0 and noise [B, ...] at times t, sample by sample (the closed form of Eq 16). The time of clean
/// data gives x0 back. Throws ShapeError, and OptionError for a time out of range.
template <DiffusionProcess Process, class T, class D>
Tensor<T, D> add_noise(const Process& process, const Tensor<T, D>& x0, const Tensor<T, D>& noise, const Times& t) {
  detail::check_batch("add_noise", x0.shape(), noise.shape(), t);
  return combine(sample_forms<T, D>(x0.dim(0),
                                    [&](std::size_t b) {
                                      const Level l = process.level(t[b]);
                                      return Form{l.alpha, l.sigma};
                                    }),
                 x0, noise);
}

/// What a network is trained to say at x_t: eps, v or x0 of the same x0 and noise.
template <DiffusionProcess Process, class T, class D>
Tensor<T, D> training_target(const Process& process, const Tensor<T, D>& x0, const Tensor<T, D>& noise,
                             const Times& t) {
  detail::check_batch("training_target", x0.shape(), noise.shape(), t);
  return combine(sample_forms<T, D>(x0.dim(0),
                                    [&](std::size_t b) {
                                      const Target w = process.target(t[b]);
                                      return Form{w.x0, w.eps};
                                    }),
                 x0, noise);
}

/// One time for each of `batch` samples, uniform among a table's, or uniform on the way from `first()` to `last()` of a
/// continuous process (`at(u)` of its schedule): between the shares `low` and `high` of them. Sample b's is element
/// `begin + b` of stream `s`. Throws OptionError for shares outside [0, 1].
template <DiffusionProcess Process>
Times uniform_times(const Process& process, std::int64_t batch, Stream s, std::int64_t begin = 0, double low = 0,
                    double high = 1) {
  require<OptionError>(0 <= low && low <= high && high <= 1, "times within [", low, ", ", high, "] of the process");
  Times t;
  for (std::int64_t b = begin; b < begin + batch; ++b) {
    const auto at = static_cast<std::uint64_t>(b);
    if constexpr (Process::discrete) {
      const int size = process.schedule().size();
      const int first = std::min(size - 1, static_cast<int>(low * size));
      const int last = std::min(size - 1, static_cast<int>(high * size));
      t.push_back(first + static_cast<int>(integer_at(s, at, last - first + 1)));
    } else {
      t.push_back(process.schedule().at(low + (high - low) * static_cast<double>(uniform_at(s, at))));
    }
  }
  return t;
}

/// One time for each of `batch` samples, uniform in [low, high], among the integers for a table.
template <DiffusionProcess Process>
Times times_between(const Process&, Time low, Time high, std::int64_t batch, Stream s, std::int64_t begin = 0) {
  Times t;
  for (std::int64_t b = begin; b < begin + batch; ++b) {
    const auto at = static_cast<std::uint64_t>(b);
    t.push_back(Process::discrete
                    ? low + static_cast<Time>(integer_at(s, at, static_cast<std::int64_t>(high - low) + 1))
                    : low + (high - low) * static_cast<double>(uniform_at(s, at)));
  }
  return t;
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
