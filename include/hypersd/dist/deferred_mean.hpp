// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/dist/group.hpp>
#include <hypersd/optim/adamw_update.hpp>
#include <limits>
#include <utility>
#include <vector>

namespace hypersd::dist {

/// to = from; `Accumulator<T>` holds each value of `T` exactly.
template <Floating T>
struct Widen {
  HYPERSD_HD void operator()(Accumulator<T>& to, const T& from) const { to = widened(from); }
};

/// Averages gradients and losses over the ranks while the host waits neither for the device nor for other ranks. Needs
/// a group with `reduces_device()`. It enqueues one reduction of one device buffer: [all gradients | one flag per
/// parameter: has a gradient | one loss per rank].
template <Floating T, Device D>
class DeferredMean {
 public:
  using A = Accumulator<T>;

  /// Keeps handles to `parameters`, which must be the same in the same order on all ranks.
  DeferredMean(optim::ParameterList<T, D> parameters, const Group& group)
      : group_(group), parameters_(std::move(parameters)), elements_(optim::parameter_count(parameters_)) {
    const auto tail = static_cast<std::int64_t>(parameters_.size()) + group_.size();
    flat_ = Tensor<A, D>::zeros(Shape{elements_ + tail});
    tail_ = Tensor<A, D>::zeros(Shape{tail});
    present_.assign(static_cast<std::size_t>(tail), A(0));
  }

  /// Enqueues the mean of the present gradients. A gradient that no rank has is not `present`; one that some ranks lack
  /// counts as 0 there. `loss` has one element, or is undefined if the step has failed on this rank; then all ranks get
  /// a loss of NaN for this rank, and the gradients are meaningless. Every rank calls this once per step.
  optim::FlatGradients<A> operator()(const Tensor<T, D>& loss) {
    const auto count = static_cast<std::int64_t>(parameters_.size());
    const auto tail = flat_.slice(elements_, flat_.size());
    const auto own_loss = tail.slice(count + group_.rank(), count + group_.rank() + 1);
    if (loss.defined()) {
      pack(loss, own_loss.data(), tail);
    } else {  // allocates no memory: the failure may have been a lack of it
      flat_.fill(A(0));
      own_loss.fill(std::numeric_limits<A>::quiet_NaN());
    }
    group_.all_reduce(flat_, Reduce::mean);
    return {flat_.data(), tail.data(), tail.data() + count, group_.size()};
  }

 private:
  void pack(const Tensor<T, D>& loss, A* own_loss, const Tensor<A, D>& tail) {
    std::vector<optim::Segment<Widen<T>, A, T>> segments;
    std::int64_t at = 0;
    bool changed = false;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const auto& g = parameters_[i].var.grad();
      const std::int64_t n = parameters_[i].var.size();
      const A flag = g.defined() ? A(1) : A(0);
      changed = changed || present_[i] != flag;
      present_[i] = flag;
      if (g.defined())
        segments.push_back({{flat_.data() + at, g.data()}, n, {}});
      else
        flat_.slice(at, at + n).fill(A(0));
      at += n;
    }
    // Flags rarely change. `tail_` keeps them on the device, because the reduction overwrites the buffer.
    if (changed) Memory<D>::copy_from_host(tail_.data(), present_.data(), present_.size() * sizeof(A));
    tail.copy_from(tail_);
    segments.push_back({{own_loss, loss.data()}, 1, {}});
    optim::multi_update<D>(segments);
  }

  Group group_;
  optim::ParameterList<T, D> parameters_;
  std::int64_t elements_;
  Tensor<A, D> flat_, tail_;
  std::vector<A> present_;  ///< the flags in `tail_`
};

}  // namespace hypersd::dist
