// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/jvp.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/rates.hpp>
#include <hypersd/diffusion/two_times.hpp>

/// \file
/// Networks of continuous time, asked for a prediction together with its derivative along a direction of (x, t, end).

namespace hypersd::diffusion {

/// A network that can be differentiated by its time: it takes times as `nn::Times`.
template <class N, class T, class D, class Condition>
concept TimeDifferentiable = requires(const N& net, const Var<T, D>& x, const nn::Times<T, D>& t, const Condition& c) {
  { net(x, t, c) } -> std::convertible_to<Var<T, D>>;
};

namespace detail {

template <class N, class T, class D, class Condition>
constexpr void require_time_differentiable() {
  static_assert(TimeDifferentiable<N, T, D, Condition> || TwoTimeDenoiser<N, T, D, Condition>,
                "this objective differentiates the student by its time: the network must take network(x, t, condition) "
                "const with t an nn::Times");
}
}  // namespace detail

/// A prediction and its derivative along a direction.
template <class T, class D>
struct Along {
  Var<T, D> prediction;
  Tensor<T, D> derivative;
};

/// Times [B] and how fast each moves.
struct MovingTimes {
  Times at;
  std::vector<double> rate;
};

namespace detail {

/// input_scale(t) x with its tangent.
template <class Process, class T, class D>
autograd::Dual<T, D> dual_input(const Process& process, const autograd::Dual<T, D>& x, const MovingTimes& t) {
  if constexpr (Process::scales_input) {
    const Rates rates(process);
    if (!x.tangent.defined()) {
      std::vector<double> moves;
      for (std::size_t b = 0; b < t.at.size(); ++b) moves.push_back(rates.input_scale(t.at[b]) * t.rate[b]);
      return {network_input(process, x.value, t.at),
              ops::map(ops::Mul{}, x.value, ops::per_sample(sample_scales<T, D>(moves)))};
    }
    const auto tangent =
        combine(sample_forms<T, D>(x.value.dim(0),
                                   [&](std::size_t b) {
                                     return Form{rates.input_scale(t.at[b]) * t.rate[b], process.input_scale(t.at[b])};
                                   }),
                x.value, x.tangent);
    return {network_input(process, x.value, t.at), tangent};
  } else {
    return x;
  }
}
/// What the network is given as its times, with their tangents.
template <class T, class D, class Process>
autograd::Dual<Accumulator<T>, D> dual_times(const Process& process, const MovingTimes& t) {
  const Rates rates(process);
  std::vector<double> rate;
  for (std::size_t b = 0; b < t.at.size(); ++b)
    rate.push_back(t.rate[b] == 0 ? 0 : rates.network_time(t.at[b]) * t.rate[b]);
  return {time_tensor<T, D>(process, t.at), sample_scales<T, D>(rate)};
}

}  // namespace detail

/// The prediction of `net` for the jump from x [B, ...] at times t to times `end`, with gradient, and its derivative
/// along the direction of x's tangent and the rates of t and `end`, without: one `autograd::jvp`. Scaling of the input
/// and the network's own time are differentiated too. Throws as `evaluate`; refuses a network that does not take its
/// times as `nn::Times` or `nn::Interval`.
template <DiffusionProcess Process, class Net, class T, class D, class C>
Along<T, D> evaluate_along(const Process& process, const Net& net, const autograd::Dual<T, D>& x, const MovingTimes& t,
                           const MovingTimes& end, const C& condition) {
  detail::require_same_process(process, "student", net);
  static_assert((detail::require_time_differentiable<Net, T, D, C>(), true));
  using N = Accumulator<T>;
  auto out = [&] {
    const auto input = detail::dual_input(process, x, t);
    const auto time = detail::dual_times<T, D>(process, t);
    if constexpr (TwoTimeDenoiser<Net, T, D, C>) {
      return autograd::jvp(
          [&](const Var<T, D>& at, const Var<N, D>& from, const Var<N, D>& to) -> Var<T, D> {
            return net(at, nn::Interval<T, D>{from, to}, condition);
          },
          input, time, detail::dual_times<T, D>(process, end));
    } else {
      return autograd::jvp(
          [&](const Var<T, D>& at, const Var<N, D>& from) -> Var<T, D> {
            return net(at, nn::Times<T, D>(from), condition);
          },
          input, time);
    }
  }();
  return {std::move(out.value), std::move(out.tangent)};
}

/// The flow's velocity that `prediction` at times t stands for.
template <DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> velocity_of(const Process& process, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& t) {
  detail::check_batch("velocity_of", x.shape(), prediction.shape(), t);
  return combine(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return process.velocity(t[b]); }), x, prediction);
}
/// The velocity alpha' x0 + sigma' eps of the one pair x0, noise [B, ...], whose mean over all pairs at x_t is the
/// flow's.
template <DiffusionProcess Process, class T, class D>
Tensor<T, D> pair_velocity(const Process& process, const Tensor<T, D>& x0, const Tensor<T, D>& noise, const Times& t) {
  detail::check_batch("pair_velocity", x0.shape(), noise.shape(), t);
  return combine(sample_forms<T, D>(x0.dim(0),
                                    [&](std::size_t b) {
                                      const Level l = process.level(t[b]);
                                      return Form{l.alpha_rate, l.sigma_rate};
                                    }),
                 x0, noise);
}

}  // namespace hypersd::diffusion
