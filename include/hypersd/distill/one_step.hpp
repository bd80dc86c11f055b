// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/require_signal.hpp>

/// \file
/// What the objectives that match a distribution share.

namespace hypersd::distill {

/// Uniform times in [low T, high T], one a sample: sample b's is element `begin + b` of the stream.
inline diffusion::Times times_within(const diffusion::NoiseTable& table, double low, double high, std::int64_t batch,
                                     Stream s, std::int64_t begin = 0) {
  require<OptionError>(0 <= low && low <= high && high <= 1, "times within [", low, ", ", high, "] of the table");
  const int first = static_cast<int>(low * table.size());
  const int last = std::min(table.size() - 1, static_cast<int>(high * table.size()));
  return diffusion::uniform_times(first, last, batch, s, begin);
}

/// The highest of a list of times. Throws OptionError for an empty list and a time off the table.
inline int highest(const diffusion::NoiseTable& table, const diffusion::Times& times) {
  require<OptionError>(!times.empty(), "an empty list of start times");
  for (const int t : times) (void)table.level(t);
  return *std::max_element(times.begin(), times.end());
}

/// One of `times` for each sample, all equally likely: sample b's by element `begin + b` of the stream.
inline diffusion::Times choose_times(const diffusion::Times& times, std::int64_t batch, Stream s,
                                     std::int64_t begin = 0) {
  diffusion::Times out;
  for (std::int64_t b = begin; b < begin + batch; ++b)
    out.push_back(times[static_cast<std::size_t>(
        integer_at(s, static_cast<std::uint64_t>(b), static_cast<std::int64_t>(times.size())))]);
  return out;
}

/// Where a few-step student stands at the times `start`: data noised with z, and z alone at time `first`, where
/// sampling begins. (Noised data still hold some signal there, which sampling does not have.)
template <class T, class D>
Tensor<T, D> start_states(const diffusion::NoiseTable& table, const Tensor<T, D>& x0, const Tensor<T, D>& z,
                          const diffusion::Times& start, int first) {
  const auto x = diffusion::add_noise(table, x0, z, start);
  for (std::int64_t b = 0; b < x.dim(0); ++b)
    if (start[static_cast<std::size_t>(b)] == first) x.slice(b, b + 1).copy_from(z.slice(b, b + 1));
  return x;
}

/// The student's clean data from one evaluation at x [B, ...] and times t.
template <diffusion::Prediction P, class Student, class T, class D, class C>
Var<T, D> one_step(const Student& student, const diffusion::NoiseTable& table, P, const Tensor<T, D>& x,
                   const diffusion::Times& t, const C& condition) {
  const Var<T, D> from(x);
  return diffusion::x0_of(table, P{}, from, student(from, diffusion::time_tensor<T, D>(t), condition), t);
}

/// Clean data that `prediction(x, t, condition)` of a frozen network stands for, guided sample by sample.
template <diffusion::Prediction P, class Net, class T, class D, class C>
Tensor<T, D> predicted_x0(const Net& net, const diffusion::NoiseTable& table, P, const Tensor<T, D>& x,
                          const diffusion::Times& t, const diffusion::GuidedCondition<C>& condition,
                          const std::vector<double>& guidance) {
  const auto f = diffusion::predict_guided(net, x, diffusion::time_tensor<T, D>(t), condition, guidance);
  return diffusion::x0_of(table, P{}, x, f, t);
}

}  // namespace hypersd::distill
