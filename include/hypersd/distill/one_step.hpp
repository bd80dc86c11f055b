// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/distill/distance.hpp>
#include <hypersd/distill/objective.hpp>

/// \file
/// What the objectives that match a distribution share.

namespace hypersd::distill {

/// The highest of a list of times. Throws OptionError for an empty list and a time out of range.
template <diffusion::DiffusionProcess Process>
diffusion::Time highest(const Process& process, const diffusion::Times& times) {
  require<OptionError>(!times.empty(), "an empty list of start times");
  for (const diffusion::Time t : times) process.check(t);
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

/// Where a few-step student stands at time t, as data and noise z: noised data, and z alone at time `first`, where
/// sampling begins. (Noised data still hold some signal there, which sampling does not have.)
template <diffusion::DiffusionProcess Process>
diffusion::Form start_form(const Process& process, diffusion::Time t, diffusion::Time first) {
  if (t == first) return {0, process.starting_scale(first)};
  const diffusion::Level l = process.level(t);
  return {l.alpha, l.sigma};
}
/// The same for the times `start` of samples [B, ...].
template <diffusion::DiffusionProcess Process, class T, class D>
Tensor<T, D> start_states(const Process& process, const Tensor<T, D>& x0, const Tensor<T, D>& z,
                          const diffusion::Times& start, diffusion::Time first) {
  diffusion::detail::check_batch("start_states", x0.shape(), z.shape(), start);
  const auto form = [&](std::size_t b) { return start_form(process, start[b], first); };
  return diffusion::combine(diffusion::sample_forms<T, D>(x0.dim(0), form), x0, z);
}

/// The student's clean data from one evaluation at x [B, ...] and times t.
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
Var<T, D> one_step(const Student& student, const Process& process, const Tensor<T, D>& x, const diffusion::Times& t,
                   const C& condition) {
  const Var<T, D> from(x);
  return diffusion::x0_of(process, from, diffusion::evaluate(process, student, from, t, condition), t);
}

/// The student's clean data from one evaluation at the times `start`, drawn from `times`: sampling begins at the
/// highest of these, in the noise z alone (`start_states`).
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
Var<T, D> few_step_samples(const Student& student, const Process& process, const Batch<T, D, C>& batch,
                           const diffusion::Times& start, const Tensor<T, D>& z, const diffusion::Times& times) {
  const auto begin = start_states(process, batch.x0, z, start, highest(process, times));
  return one_step(student, process, begin, start, batch.condition.conditional);
}

/// What a critic of clean data is told: they have no noise level of their own, so the first time. [Hyper-SD Eq. 6]
template <diffusion::DiffusionProcess Process, class T, class D, class C>
Where<T, D, C> where_clean(const Process& process, const Batch<T, D, C>& batch) {
  const diffusion::Times first(static_cast<std::size_t>(batch.x0.dim(0)), process.first());
  return {diffusion::time_tensor<T, D>(process, first), batch.condition.conditional, {}};
}

/// Clean data that `prediction(x, t, condition)` of a frozen network stands for, guided sample by sample.
template <diffusion::DiffusionProcess Process, class Net, class T, class D, class C>
Tensor<T, D> predicted_x0(const Net& net, const Process& process, const Tensor<T, D>& x, const diffusion::Times& t,
                          const diffusion::GuidedCondition<C>& condition, const std::vector<double>& guidance) {
  const auto f = diffusion::predict_guided(process, net, x, t, condition, guidance);
  return diffusion::x0_of(process, x, f, t);
}

}  // namespace hypersd::distill
