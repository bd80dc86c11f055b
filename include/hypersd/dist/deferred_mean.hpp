// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/dist/group.hpp>
#include <hypersd/optim/adamw_update.hpp>
#include <limits>
#include <utility>
#include <vector>

namespace hypersd::dist {

/// to = from, which `Accumulator<T>` holds exactly.
template <Floating T>
struct Widen {
  HYPERSD_HD void operator()(Accumulator<T>& to, const T& from) const { to = widened(from); }
};

/// The mean of gradients and losses over the ranks, for which the host waits neither for the device nor for the other
/// ranks: where the group `reduces_device()`. One reduction of one buffer on the device:
/// [all gradients | a flag a parameter: is there a gradient | a loss a rank].
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

  /// Enqueues the mean of the gradients that the parameters now have; one that no rank has is not `present`, one that
  /// some ranks lack counts as 0 there. `loss` has one element. If the step has failed here it is undefined: then all
  /// ranks get a loss of NaN from this one, and the rest does not matter. Every rank calls it, as often as the others.
  optim::FlatGradients<A> operator()(const Tensor<T, D>& loss) {
    const auto count = static_cast<std::int64_t>(parameters_.size());
    const auto tail = flat_.slice(elements_, flat_.size());
    const auto own_loss = tail.slice(count + group_.rank(), count + group_.rank() + 1);
    if (loss.defined()) {
      pack(loss, own_loss.data(), tail);
    } else {  // what needs no new memory
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
    // Flags change seldom: the copy from the host is kept, since the reduction overwrites them.
    if (changed) Memory<D>::copy_from_host(tail_.data(), present_.data(), present_.size() * sizeof(A));
    tail.copy_from(tail_);
    segments.push_back({{own_loss, loss.data()}, 1, {}});
    optim::multi_update<D>(segments);
  }

  Group group_;
  optim::ParameterList<T, D> parameters_;
  std::int64_t elements_;
  Tensor<A, D> flat_, tail_;
  std::vector<A> present_;  ///< what `tail_` holds
};

}  // namespace hypersd::dist
