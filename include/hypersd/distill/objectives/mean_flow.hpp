// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/distill/time_proposal.hpp>

namespace hypersd::distill {

/// Settings of mean flows.
struct MeanFlowOptions {
  TimeProposal times{.mean = -0.4, .deviation = 1.0};  ///< of both times of a pair
  double same_share = 0.75;                            ///< share of samples with end = t, which is flow matching
  FlowSource source = FlowSource::data;
  double guidance_min = 1, guidance_max = 1;  ///< of the teacher, with `FlowSource::teacher`
  /// Guidance of the student by itself, v_g = omega v + (1 - omega - kappa) u_null + kappa u_condition with u = u(x, t,
  /// t): the student learns the flow of scale omega / (1 - kappa). 1 and 0: none. Some of the batch's conditions should
  /// be null ones (`diffusion::drop_condition`; published: a tenth).
  double omega = 1, kappa = 0;
  /// Above 1: guidance as an input (improved mean flows), instead. The student is told w = scale - 1 of each sample, as
  /// `diffusion::EmbeddedGuidance` tells it, with scales log-uniform in [1, told_scale], and learns the flow of that
  /// scale: v_g = v + (1 - 1 / scale) (u_condition - u_null), the null branch being told scale 1.
  double told_scale = 1;
  double guided_from = 0, guided_to = 1;  ///< times at which it is guided, shares of `process.last()`
  double power = 1, constant = 0.01;      ///< weight (|d|^2 + constant)^-power of each sample; power 0: none
};

/// A student with two times that is told guidance weights w [B]: net(x, times, condition, w).
template <class N, class T, class D, class C>
concept TakesGuidance = requires(const N& net, const Var<T, D>& x, const nn::Interval<T, D>& t, const C& c,
                                 const Numbers<T, D>& w) {
  { net(x, t, c, w) } -> std::convertible_to<Var<T, D>>;
};

/// That student with its weights bound.
template <class N, class T, class D>
struct ToldGuidance : nn::Wraps<N> {
  const N& net;
  Numbers<T, D> w;
  ToldGuidance(const N& n, Numbers<T, D> weights) : net(n), w(std::move(weights)) {}
  [[nodiscard]] const auto& process_value() const requires nn::HoldsProcess<N> { return net.process_value(); }
  template <class C>
  Var<T, D> operator()(const Var<T, D>& x, const nn::Interval<T, D>& t, const C& condition) const {
    return net(x, t, condition, w);
  }
};

/// Mean flows (Geng et al., "Mean flows for one-step generative modeling"): the student u(x, t, end) learns the average
/// velocity over [end, t] from d/dt [(t - end) u] = v, with du/dt by one JVP. The loss is the mean over samples of
/// w |u - stopgrad(v - (t - end) du/dt)|^2. The difference is the tangent g of `jump_drift`, so the objective is
/// defined on every continuous process and prediction: the student predicts what jumps right to `end`.
///
/// `improved` (Geng et al., "Improved mean flows") takes du/dt along the student's own velocity u(x, t, t) instead of
/// the sample's: what is compared with v then depends on x_t alone, and the loss is a regression.
template <bool improved, diffusion::DiffusionProcess Process = diffusion::Flow>
struct MeanFlows {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = MeanFlowOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit MeanFlows(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    require<OptionError>(0 <= o.same_share && o.same_share <= 1, "mean flow: same_share = ", o.same_share,
                         " is not in [0, 1]");
    require<OptionError>(o.kappa < 1 && o.constant > 0 && o.power >= 0, "mean flow: kappa = ", o.kappa,
                         ", constant = ", o.constant, ", power = ", o.power);
    require_guidance_range(o.guidance_min, o.guidance_max);
    require<OptionError>(o.told_scale >= 1, "mean flow: told_scale = ", o.told_scale, ", at least 1 needed");
    require<OptionError>(o.told_scale == 1 || (o.omega == 1 && o.kappa == 0 && o.guidance_max == 1),
                         "mean flow: told_scale = ", o.told_scale,
                         " is guidance of its own; omega = 1, kappa = 0 and an unguided teacher needed");
  }
  explicit MeanFlows(Options o = {}) requires std::default_initializable<Process> : MeanFlows(Process(), o) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "mean_flow.noise"), random);
  }

  /// Pairs of the proposal, and with `told_scale` the scales that the student is told as their guidance.
  [[nodiscard]] ContinuousDraws draw(std::int64_t batch, Randomness random) const {
    const bool told = options.told_scale > 1;
    auto out = draw_pairs(options.times, process, options.same_share, told ? 0 : options.guidance_min,
                          told ? 1 : options.guidance_max, batch, random, "mean_flow");
    if (told)
      for (double& scale : out.guidance) scale = std::pow(options.told_scale, scale);
    return out;
  }

  /// The same for given draws and noise [B, ...]; of `random` the step counts, for messages. Throws OptionError if a
  /// student is to be told its guidance that does not take it.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const ContinuousDraws& d, const Tensor<T, D>& noise, Randomness random = {}) const {
    static_assert((diffusion::detail::require_two_times<Student, T, D, C>(), true));
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const std::vector<double> ones(d.t.size(), 1.0);
    const auto velocity = flow_velocity(options.source, process, teacher, batch, x_t, noise, d.t,
                                        options.told_scale > 1 ? ones : d.guidance);
    if (options.told_scale == 1)
      return regress(student, student, x_t, velocity, std::vector<double>(d.t.size(), options.omega),
                     std::vector<double>(d.t.size(), options.kappa), batch, d, random);
    if constexpr (TakesGuidance<Student, T, D, C>) {
      std::vector<double> weights, kappa;
      for (const double scale : d.guidance) {
        weights.push_back(scale - 1);
        kappa.push_back(1 - 1 / scale);
      }
      using Told = ToldGuidance<Student, T, D>;
      return regress(Told(student, diffusion::sample_scales<T, D>(weights)),
                     Told(student, Numbers<T, D>::zeros(Shape{x_t.dim(0)})), x_t, velocity, ones, kappa, batch, d,
                     random);
    }
    fail<OptionError>("mean flow: told_scale = ", options.told_scale,
                      ", but the student takes no guidance weight: network(x, times, condition, w)");
  }

 private:
  /// The loss of `student` against omega v + (1 - omega - kappa) u_null + kappa u_condition, v being `velocity` and
  /// u_null of `null_student`.
  template <class Student, class T, class D, class C>
  LossResult<T, D> regress(const Student& student, const Student& null_student, const Tensor<T, D>& x_t,
                           Tensor<T, D> velocity, const std::vector<double>& omega, const std::vector<double>& kappa,
                           const Batch<T, D, C>& batch, const ContinuousDraws& d, Randomness random) const {
    const C& condition = batch.condition.conditional;
    const auto own = [&](const Student& net, const C& c) {
      return diffusion::velocity_of(process, x_t, diffusion::predict_between(process, net, x_t, d.t, d.t, c), d.t);
    };
    const bool guided = options.told_scale > 1 || options.omega != 1 || options.kappa != 0;
    const Tensor<T, D> here = improved || guided ? own(student, condition) : Tensor<T, D>{};
    if (guided) velocity = guide(velocity, here, own(null_student, batch.condition.null), d.t, omega, kappa);
    const auto drift = jump_drift(process, student, x_t, velocity, improved ? here : velocity, d.t, d.end, condition);
    const auto squares = tangent_squares(drift.tangent, d.t, d.end, random);
    // |d|^2 is a sum over elements, `tangent_loss` takes means.
    const double elements = static_cast<double>(x_t.size()) / static_cast<double>(x_t.dim(0));
    std::vector<double> weights;
    double residual = 0;
    for (const double square : squares) {
      weights.push_back(elements * std::pow(square + options.constant, -options.power));
      residual += square / elements / static_cast<double>(squares.size());
    }
    return {tangent_loss(drift.prediction, drift.tangent, weights), {{"residual", residual}}};
  }
  /// omega v + (1 - omega - kappa) u_null + kappa u_condition within the guided times, v at others.
  template <class T, class D>
  Tensor<T, D> guide(const Tensor<T, D>& velocity, const Tensor<T, D>& conditional, const Tensor<T, D>& null,
                     const diffusion::Times& t, std::vector<double> omega, std::vector<double> kappa) const {
    std::vector<double> rest;
    for (std::size_t b = 0; b < t.size(); ++b) {
      const double share = t[b] / process.last();
      if (share < options.guided_from || share > options.guided_to) omega[b] = 1, kappa[b] = 0;
      rest.push_back(1 - omega[b] - kappa[b]);
    }
    const auto scales = [](const std::vector<double>& v) { return diffusion::sample_scales<T, D>(v); };
    const auto both = diffusion::combine({scales(rest), scales(kappa)}, null, conditional);
    return diffusion::combine({scales(omega), scales(std::vector<double>(t.size(), 1.0))}, velocity, both);
  }
};

/// Mean flows as first published.
template <diffusion::DiffusionProcess Process = diffusion::Flow>
using MeanFlow = MeanFlows<false, Process>;
/// Improved mean flows: du/dt along the student's own velocity.
template <diffusion::DiffusionProcess Process = diffusion::Flow>
using ImprovedMeanFlow = MeanFlows<true, Process>;

}  // namespace hypersd::distill
