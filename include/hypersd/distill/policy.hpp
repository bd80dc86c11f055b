// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <utility>
#include <vector>

/// \file
/// Policies (Chen et al., "pi-Flow: policy-based few-step generation via imitation distillation", arXiv 2510.14974): a
/// student is evaluated once a segment of the way and gives clean data for several times of it. Between them clean data
/// are linear in time, and the flow is followed by small steps without a network.

namespace hypersd::distill {

/// Clean data of a segment, from one evaluation of a student: `x0[i]` [B, ...] at the i-th of equally spaced times from
/// `from` down to `to` [B]. `Values` is a tensor, or a variable with the student's gradient.
template <class Values>
struct Policy {
  std::vector<Values> x0;
  diffusion::Times from, to;

  /// Coefficient of `x0[i]` at time t of sample b.
  [[nodiscard]] double share(std::size_t i, std::size_t b, diffusion::Time t) const {
    const double at = (from[b] - t) / (from[b] - to[b]) * static_cast<double>(x0.size() - 1);
    return x0.size() == 1 ? 1 : std::max(0.0, 1 - std::abs(at - static_cast<double>(i)));
  }
};

/// A policy's clean data [B, ...] at times t [B] of its segment.
template <template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> clean_at(const Policy<Batch<T, D>>& policy, const diffusion::Times& t) {
  const auto shares = [&](std::size_t i) {
    return diffusion::sample_forms<T, D>(static_cast<std::int64_t>(t.size()), [&](std::size_t b) {
      return diffusion::Form{i == 1 ? policy.share(0, b, t[b]) : 1.0, policy.share(i, b, t[b])};
    });
  };
  Batch<T, D> out = policy.x0[0];
  for (std::size_t i = 1; i < policy.x0.size(); ++i) out = diffusion::combine(shares(i), out, policy.x0[i]);
  return out;
}

/// The policy without gradient.
template <class T, class D>
Policy<Tensor<T, D>> detached(const Policy<Var<T, D>>& policy) {
  Policy<Tensor<T, D>> out{{}, policy.from, policy.to};
  for (const auto& x0 : policy.x0) out.x0.push_back(x0.value());
  return out;
}

/// The policy of `student` at x [B, ..., C] and times `from` down to `to`. The student gives `nodes` predictions of the
/// process, one after the other, [B, ..., nodes C], all for x and `from`: a network whose predictions are all the
/// teacher's takes one step of DDIM. Throws ShapeError for another number of channels.
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
Policy<Var<T, D>> policy_of(const Process& process, const Student& student, const Tensor<T, D>& x,
                            diffusion::Times from, diffusion::Times to, int nodes, const C& condition) {
  diffusion::detail::require_same_process(process, "student", student);
  const std::int64_t channels = x.dim(x.rank() - 1);
  const Var<T, D> all = student(diffusion::network_input(process, Var<T, D>(x), from),
                                diffusion::time_tensor<T, D>(process, from), condition);
  require<ShapeError>(all.rank() == x.rank() && all.dim(x.rank() - 1) == nodes * channels, "policy: predictions ",
                      all.shape(), " for samples ", x.shape(), " and ", nodes, " nodes");
  Policy<Var<T, D>> out{{}, from, std::move(to)};
  for (int i = 0; i < nodes; ++i) {
    const auto f = autograd::slice_channels(all, i * channels, (i + 1) * channels);
    out.x0.push_back(diffusion::x0_of(process, Var<T, D>(x), f, from));
  }
  return out;
}

/// Where a policy takes x [B, ...] from its beginning to times t [B], by `steps` equal steps of DDIM.
template <diffusion::DiffusionProcess Process, class T, class D>
Tensor<T, D> follow(const Process& process, const Policy<Tensor<T, D>>& policy, Tensor<T, D> x,
                    const diffusion::Times& t, int steps) {
  const auto between = [&](int i) {
    diffusion::Times out;
    for (std::size_t b = 0; b < t.size(); ++b)
      out.push_back(i == steps ? t[b] : policy.from[b] + (t[b] - policy.from[b]) * i / steps);
    return out;
  };
  for (int i = 0; i < steps; ++i) {
    const diffusion::Times now = between(i), next = between(i + 1);
    x = diffusion::combine(diffusion::sample_forms<T, D>(x.dim(0),
                                                         [&](std::size_t b) {
                                                           const diffusion::Level a = process.level(now[b]),
                                                                                  z = process.level(next[b]);
                                                           const double kept = z.sigma / a.sigma;
                                                           return diffusion::Form{kept, z.alpha - a.alpha * kept};
                                                         }),
                           x, clean_at(policy, now));
  }
  return x;
}

/// Samples of a student of `segments` segments from noise x [B, ...] at the process's last time: one evaluation a
/// segment, each followed by `steps` steps of its policy.
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
Tensor<T, D> sample_policies(const Process& process, const Student& student, Tensor<T, D> x, const C& condition,
                             int segments, int nodes, int steps) {
  const autograd::NoGrad guard;
  const diffusion::Times grid = process.grid(segments);
  const auto batch = static_cast<std::size_t>(x.dim(0));
  for (std::size_t i = 0; i < grid.size(); ++i) {
    const diffusion::Times from(batch, grid[i]), to(batch, i + 1 < grid.size() ? grid[i + 1] : process.first());
    const auto policy = detached(policy_of(process, student, x, from, to, nodes, condition));
    x = follow(process, policy, x, to, steps);
  }
  return x;
}

}  // namespace hypersd::distill
