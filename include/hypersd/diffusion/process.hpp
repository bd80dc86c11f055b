// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/noise_table.hpp>
#include <hypersd/diffusion/prediction.hpp>
#include <hypersd/diffusion/predictions/epsilon.hpp>
#include <hypersd/diffusion/predictions/velocity.hpp>
#include <hypersd/diffusion/predictions/x0.hpp>
#include <string>
#include <type_traits>
#include <utility>

/// \file
/// A diffusion process as a type: how data become noise, and what networks of it predict. Networks, teachers, students,
/// samplers and objectives name theirs, and what does not fit together does not compile.

namespace hypersd::diffusion {

namespace detail {

/// The levels that a schedule policy stands for: a table for the policies of discrete ones, else the policy itself.
template <class S>
S levels_of(const S& schedule) {
  return schedule;
}
template <TableSchedule S>
NoiseTable levels_of(const S& schedule) {
  return noise_table(schedule);
}
template <class S>
inline constexpr bool zero_terminal_snr = false;
template <class S>
requires requires { S::zero_terminal_snr; }
inline constexpr bool zero_terminal_snr<S> = S::zero_terminal_snr;

}  // namespace detail

/// A schedule: one of continuous time, a `NoiseTable`, or a policy that makes one.
template <class S>
concept AnySchedule = Schedule<S> || TableSchedule<S>;

/// x_s = x * x_t + noise * z.
struct Renoise {
  double x = 1, noise = 0;
};

/// The process of schedule `S` whose networks predict `P`: a small value, computed in double. Times are real numbers
/// from `clean()` to `last()`; functions throw OptionError for others, and NumericError where a prediction says
/// nothing.
///
///   using Sd = Process<ScaledLinear, Epsilon>;            // Stable Diffusion 1.5, SDXL
///   using Flow = Process<RectifiedFlow, FlowVelocity>;    // SD3, FLUX
///   using Edm = Process<VarianceExploding, Preconditioned>;
template <AnySchedule S, Prediction P>
class Process {
 public:
  using SchedulePolicy = S;
  using Prediction = P;
  using Levels = decltype(detail::levels_of(std::declval<const S&>()));

  static_assert(!(P::needs_signal && detail::zero_terminal_snr<S>),
                "an epsilon prediction says nothing about data at zero terminal SNR: use Velocity or X0");
  static_assert(!P::needs_unit_variance || Levels::variance_preserving,
                "Velocity is the prediction of variance-preserving processes: use FlowVelocity");

  static constexpr bool discrete = Levels::discrete, straight = Levels::straight;
  /// Whether networks are given a multiple of x_t, and another number than the time.
  static constexpr bool scales_input = requires(const P& p, Level l) { p.input_scale(l); };
  static constexpr bool maps_time = requires(const P& p, const Levels& s, Time t) { p.network_time(t); }
  || requires(const P& p, const Levels& s, Time t) { s.network_time(t); };

  /// Throws OptionError for a schedule whose options are out of range.
  Process(const S& schedule, P prediction = {})  // NOLINT(google-explicit-constructor): a table is a process
      : levels_(detail::levels_of(schedule)), prediction_(std::move(prediction)) {}
  Process() requires std::default_initializable<S> : Process(S{}) {}
  /// A process of a named table as one of any table.
  template <TableSchedule Named>
  requires std::same_as<S, NoiseTable> Process(const Process<Named, P>& named)  // NOLINT(google-explicit-constructor)
      : Process(named.schedule(), named.prediction()) {}

  [[nodiscard]] const Levels& schedule() const { return levels_; }
  [[nodiscard]] const P& prediction() const { return prediction_; }
  /// The same schedule with another prediction.
  template <hypersd::diffusion::Prediction To>
  [[nodiscard]] auto with(const To& to = {}) const {
    if constexpr (std::same_as<To, P>)
      return *this;
    else
      return Process<Levels, To>(levels_, to);
  }

  /// @name Times
  /// @{
  [[nodiscard]] Time clean() const { return levels_.clean(); }
  [[nodiscard]] Time first() const { return levels_.first(); }
  [[nodiscard]] Time last() const { return levels_.last(); }
  [[nodiscard]] Time time(EndPoint end) const { return end == EndPoint::clean ? clean() : first(); }
  [[nodiscard]] Times grid(int n) const { return levels_.grid(n); }
  [[nodiscard]] Time time_at(double lambda) const { return levels_.time_at(lambda); }
  [[nodiscard]] Time earlier(Time t, double share) const { return levels_.earlier(t, share); }
  /// Throws OptionError unless t lies in [first, last], or in [clean, last] if `clean_too`.
  void check(Time t, bool clean_too = true) const {
    const bool lowest = t >= first() || (clean_too && t >= clean());
    require<OptionError>(t <= last() && lowest, "time ", t, " is not in [", clean_too ? clean() : first(), ", ", last(),
                         "]");
  }
  /// @}

  /// @name Levels
  /// @{
  [[nodiscard]] Level level(Time t) const { return levels_.level(t); }
  [[nodiscard]] double alpha(Time t) const { return level(t).alpha; }
  [[nodiscard]] double sigma(Time t) const { return level(t).sigma; }
  /// ln(alpha / sigma).
  [[nodiscard]] double lambda(Time t) const { return log_snr(level(t)); }
  /// Standard deviation of what sampling starts from at time t.
  [[nodiscard]] double starting_scale(Time t) const { return levels_.starting_scale(t); }
  /// Re-noising from s up to t >= s: x_t = x * x_s + noise * z with x = alpha_t / alpha_s and
  /// noise^2 = sigma_t^2 - x^2 sigma_s^2, so that a marginal at s becomes the marginal at t.
  [[nodiscard]] Renoise renoise(Time s, Time t) const {
    require<OptionError>(s <= t, "renoise: from time ", s, " down to ", t);
    if (s == t) return {};
    const double noise = std::sqrt(levels_.renoise_variance(s, t));
    if constexpr (requires { levels_.log_ratio(s, t); })
      return {std::exp(0.5 * levels_.log_ratio(s, t)), noise};
    else
      return {alpha(t) / alpha(s), noise};
  }
  /// sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2.
  [[nodiscard]] double renoise_variance(Time s, Time t) const { return levels_.renoise_variance(s, t); }
  /// @}

  /// @name The prediction at time t, in terms of (x_t, prediction)
  /// @{
  [[nodiscard]] Form x0(Time t) const { return prediction_.x0(level(t)); }
  [[nodiscard]] Form eps(Time t) const { return prediction_.eps(level(t)); }
  /// grad ln p(x_t) = -eps / sigma. Throws NumericError for clean data.
  [[nodiscard]] Form score(Time t) const {
    const Level l = level(t);
    require<NumericError>(l.sigma > 0, "the score is infinite at clean data, where sigma is 0");
    const Form e = prediction_.eps(l);
    return {-e.x / l.sigma, -e.prediction / l.sigma};
  }
  /// The flow's velocity alpha' x0 + sigma' eps, whose conditional mean is dx/dt of the probability-flow ODE. For a
  /// table the time is the angle atan(sigma / alpha).
  [[nodiscard]] Form velocity(Time t) const {
    const Level l = level(t);
    const Form a = prediction_.x0(l), b = prediction_.eps(l);
    return {l.alpha_rate * a.x + l.sigma_rate * b.x, l.alpha_rate * a.prediction + l.sigma_rate * b.prediction};
  }
  /// The same prediction as another type.
  template <hypersd::diffusion::Prediction To>
  [[nodiscard]] Form convert(const To& to, Time t) const {
    return convert_form(prediction_, to, level(t));
  }
  /// What a network is trained to say, in terms of (x_0, eps).
  [[nodiscard]] Target target(Time t) const { return prediction_.target(level(t)); }
  /// The DDIM jump Psi(x_t, f, s) = alpha_s x0hat + sigma_s epshat (Psi of Eq 1-5, 11 and 12 of the paper; Song et al.,
  /// "Denoising diffusion implicit models", Eq 12). From a time to itself it is exactly the identity.
  [[nodiscard]] Form jump(Time from, Time to) const {
    const Level a = level(from), b = level(to);
    return from == to ? Form{1, 0} : jump_form(prediction_, a, b);
  }
  /// Throws OptionError where a student that starts at time t could not say anything about clean data.
  void require_signal(Time t) const {
    require<OptionError>(!P::needs_signal || level(t).alpha > 0,
                         "an epsilon prediction cannot be distilled at zero terminal SNR; use Velocity or X0");
  }
  void require_signal() const { require_signal(last()); }
  /// @}

  /// @name What a network is given
  /// @{
  [[nodiscard]] double input_scale(Time t) const {
    if constexpr (scales_input)
      return prediction_.input_scale(level(t));
    else
      return 1;
  }
  [[nodiscard]] double network_time(Time t) const {
    if constexpr (requires { prediction_.network_time(t); })
      return prediction_.network_time(t);
    else if constexpr (requires { levels_.network_time(t); })
      return levels_.network_time(t);
    else
      return t;
  }
  /// The inverse of `network_time`, for exact denoisers; `last()` where a float's rounding has carried it past that.
  [[nodiscard]] Time process_time(double n) const {
    Time t = n;
    if constexpr (requires { prediction_.process_time(n); })
      t = prediction_.process_time(n);
    else if constexpr (requires { levels_.process_time(n); })
      t = levels_.process_time(n);
    return discrete ? t : not_past(t, last(), 1e-6);
  }
  /// @}

  /// What it is, for messages: "scaled_linear, epsilon".
  [[nodiscard]] static std::string name() { return std::string(S::name) + ", " + P::name; }

 private:
  Levels levels_;
  P prediction_;
};

/// The process of any table of levels, known at run time.
template <Prediction P = Epsilon>
using Discrete = Process<NoiseTable, P>;

namespace detail {

template <class X>
inline constexpr bool is_process = false;
template <class S, class P>
inline constexpr bool is_process<Process<S, P>> = true;

/// Whether schedules may be the same: named ones by name, a `NoiseTable` may be any table.
template <class A, class B>
inline constexpr bool same_schedule = std::same_as<A, B> || (std::same_as<A, NoiseTable> && TableSchedule<B>) ||
                                      (std::same_as<B, NoiseTable> && TableSchedule<A>);

}  // namespace detail

/// A diffusion process.
template <class X>
concept DiffusionProcess = detail::is_process<X>;

/// Whether `A` and `B` may be one process: the same prediction and the same schedule. A table known at run time may be
/// that of a named one; `==` tells.
template <class A, class B>
concept SameProcess =
    DiffusionProcess<A> && DiffusionProcess<B> && std::same_as<typename A::Prediction, typename B::Prediction> &&
    detail::same_schedule<typename A::SchedulePolicy, typename B::SchedulePolicy>;

/// The same levels and the same prediction with the same settings.
template <DiffusionProcess A, DiffusionProcess B>
bool operator==(const A& a, const B& b) {
  if constexpr (SameProcess<A, B>)
    return a.schedule() == b.schedule() && a.prediction() == b.prediction();
  else
    return false;
}

/// A network that names its process: `typename N::process`. Others are taken on trust.
template <class N>
concept NamesProcess = requires {
  requires DiffusionProcess<typename N::process>;
};

namespace detail {

template <class Network, class Process>
struct ProcessOf {
  using type = Process;
};
template <NamesProcess Network, class Process>
struct ProcessOf<Network, Process> {
  using type = typename Network::process;
};

/// Throws OptionError where `net` holds a process that is not `process`; does not compile where the types tell.
template <class Process, class Net>
void require_same_process(const Process& process, const char* who, const Net& net) {
  static_assert(SameProcess<typename ProcessOf<Net, Process>::type, Process>,
                "this network belongs to another diffusion process: schedule and prediction must be the same");
  if constexpr (NamesProcess<Net> && requires { net.process_value(); })
    require<OptionError>(net.process_value() == process, who, ": its process (", net.process_value().name(),
                         ") is not the one used here (", process.name(), "): their levels differ");
}

}  // namespace detail

/// A network with the process that it was trained on: `model<Sd>(unet)`. Called like the network.
template <DiffusionProcess Pr, class Net>
struct Model {
  using process = Pr;
  Net net;
  Pr value{};

  [[nodiscard]] const Pr& process_value() const { return value; }
  template <class X, class N, class... Rest>
  auto operator()(const X& x, const N& t, const Rest&... rest) const -> decltype(net(x, t, rest...)) {
    return net(x, t, rest...);
  }
  template <class C, class N = Net>
  auto null_condition(const C& condition) const -> decltype(std::declval<const N&>().null_condition(condition)) {
    return net.null_condition(condition);
  }
};
/// `net` as a network of `Pr`; its signature stays.
template <DiffusionProcess Pr, class Net>
Model<Pr, Net> model(Net net, Pr process = {}) {
  return {std::move(net), std::move(process)};
}

}  // namespace hypersd::diffusion
