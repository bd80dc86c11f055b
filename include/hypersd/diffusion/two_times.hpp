// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/nn/interval.hpp>
#include <hypersd/nn/module.hpp>
#include <type_traits>

/// \file
/// Networks with a second time, the end of the jump that their prediction is for: students that are flow maps.

namespace hypersd::diffusion {

/// A network with a second time: it takes an `nn::Interval` in the place of its time, and its prediction is the one
/// whose jump from `t` lands right at `end`. For end = t that is the process's own prediction.
template <class N, class T, class D, class Condition>
concept TwoTimeDenoiser = requires(const N& net, const Var<T, D>& x, const nn::Interval<T, D>& t, const Condition& c) {
  { net(x, t, c) } -> std::convertible_to<Var<T, D>>;
};

namespace detail {

template <class C>
struct OneCondition {
  using type = C;
};
template <class C>
struct OneCondition<GuidedCondition<C>> {
  using type = C;
};
template <class N, class T, class D, class Condition>
concept HasSecondTime = TwoTimeDenoiser<N, T, D, typename OneCondition<Condition>::type>;

template <class N, class T, class D, class Condition>
constexpr void require_two_times() {
  static_assert(TwoTimeDenoiser<N, T, D, Condition>,
                "this objective learns a flow map between two times: the network must take network(x, t, condition) "
                "const with t an nn::Interval");
}

}  // namespace detail

/// A network with a second time with the ends [B] of its jumps bound: takes (x, t, condition) like any other. Where a
/// batch holds both branches of guidance, both have the same ends.
template <class N, class T, class D>
struct AtEnd : nn::Wraps<N> {
  const N& net;
  const Numbers<T, D>& end;
  AtEnd(const N& n, const Numbers<T, D>& ends) : net(n), end(ends) {}
  [[nodiscard]] const auto& process_value() const requires nn::HoldsProcess<N> { return net.process_value(); }

  template <class C, class... Rest>
  auto operator()(const Var<T, D>& x, const Numbers<T, D>& t, const C& condition, const Rest&... rest) const
      -> decltype(net(x, nn::Interval<T, D>{t, t}, condition, rest...)) {
    const bool both = t.dim(0) == 2 * end.dim(0);
    return net(x, nn::Interval<T, D>{t, both ? ops::concat_first(end, end) : end}, condition, rest...);
  }
};

/// The prediction of `net` for the jump from x [B, ...] at times t to times `end`, with gradient. A network with one
/// time is not told `end`. `rest` are further inputs of the network. Throws as `evaluate`.
template <DiffusionProcess Process, class Net, class T, class D, class C, class... Rest>
Var<T, D> evaluate_between(const Process& process, const Net& net, const Var<T, D>& x, const Times& t, const Times& end,
                           const C& condition, const Rest&... rest) {
  if constexpr (TwoTimeDenoiser<Net, T, D, C>) {
    detail::require_same_process(process, "student", net);
    const nn::Interval<T, D> times{time_tensor<T, D>(process, t), time_tensor<T, D>(process, end)};
    return net(network_input(process, x, t), times, condition, rest...);
  } else {
    return evaluate(process, net, x, t, condition, rest...);
  }
}
/// The same without gradient.
template <DiffusionProcess Process, class Net, class T, class D, class C, class... Rest>
Tensor<T, D> predict_between(const Process& process, const Net& net, const Tensor<T, D>& x, const Times& t,
                             const Times& end, const C& condition, const Rest&... rest) {
  const autograd::NoGrad guard;
  return evaluate_between(process, net, Var<T, D>(x), t, end, condition, rest...).value();
}

}  // namespace hypersd::diffusion
