// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/dist/group.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/optim/parameters.hpp>
#include <utility>
#include <vector>

namespace hypersd::dist {

/// The outcome of a step over all ranks.
struct StepMean {
  double loss = 0;  ///< mean over the ranks
  int failed = -1;  ///< the first rank whose step failed, or -1; after a failure loss and gradients are meaningless
};

/// Thrown by a collective operation that a rank cannot join because its step has failed before.
struct StepFailedElsewhere : CommunicationError {
  using CommunicationError::CommunicationError;
};

/// Averages the gradients of parameters over the ranks by one reduction of one buffer:
/// [all gradients | loss | one flag per parameter: has a gradient | one flag per rank: has failed]. Gradients of 16-bit
/// types are averaged in float32.
template <Floating T, Device D = Cpu>
class GradientMean {
 public:
  using A = Accumulator<T>;

  /// Keeps handles to `parameters`, which must be the same in the same order on all ranks.
  explicit GradientMean(optim::ParameterList<T, D> parameters) : parameters_(std::move(parameters)) {}

  /// Replaces each gradient by its mean over the ranks. A gradient that no rank has stays undefined; one that some
  /// ranks lack counts as 0 there. All ranks call this. A rank whose step has failed passes `failed` = true; its
  /// gradients are ignored.
  [[nodiscard]] StepMean operator()(const Group& group, double loss, bool failed = false) {
    const std::int64_t elements = optim::parameter_count(parameters_);
    const std::size_t count = parameters_.size(), ranks = static_cast<std::size_t>(group.size());
    const std::int64_t extra = static_cast<std::int64_t>(1 + count + ranks);
    // Gradients from the last call are views of the buffer. It is not reused while such a view exists.
    if (!flat_.unique() || flat_.size() != elements + extra) flat_ = Tensor<A, D>(Shape{elements + extra});

    std::vector<A> flags(static_cast<std::size_t>(extra), A(0));
    flags[0] = failed ? A(0) : static_cast<A>(loss);
    flags[1 + count + static_cast<std::size_t>(group.rank())] = failed ? A(1) : A(0);
    std::int64_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const auto& g = parameters_[i].var.grad();
      const std::int64_t n = parameters_[i].var.size();
      const auto part = flat_.slice(at, at + n);
      if (g.defined() && !failed) {
        part.copy_from(ops::cast<A>(g).reshape(part.shape()));
        flags[1 + i] = A(1);
      } else {
        part.fill(A(0));
      }
      at += n;
    }
    const auto tail = flat_.slice(elements, elements + extra);
    tail.copy_from(Tensor<A, D>::from(tail.shape(), flags));
    group.all_reduce(flat_, Reduce::mean);
    flags = tail.to_vector();

    StepMean out{static_cast<double>(flags[0]), -1};
    for (std::size_t r = 0; r < ranks && out.failed < 0; ++r)
      if (flags[1 + count + r] > A(0)) out.failed = static_cast<int>(r);
    if (out.failed >= 0) return out;
    at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      auto var = parameters_[i].var;
      if (flags[1 + i] > A(0)) var.set_grad(ops::cast<T>(flat_.slice(at, at + var.size()).reshape(var.shape())));
      at += var.size();
    }
    return out;
  }

 private:
  optim::ParameterList<T, D> parameters_;
  Tensor<A, D> flat_;
};

/// Votes in the middle of a step that this rank goes on with it. Throws StepFailedElsewhere if another has left it by
/// an exception; a rank that leaves must vote `true` by `Group::any`.
inline void go_on(const Group& group) {
  if (group.any(false)) fail<StepFailedElsewhere>("rank ", group.rank(), ": the step failed on another rank");
}
/// Averages gradients in the middle of a step. The ranks vote first (`go_on`).
template <Floating T, Device D>
void average_within_step(const Group& group, const optim::ParameterList<T, D>& parameters) {
  if (group.size() == 1) return;
  go_on(group);
  (void)GradientMean<T, D>(parameters)(group, 0);
}

}  // namespace hypersd::dist
