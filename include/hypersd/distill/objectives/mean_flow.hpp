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
  double guided_from = 0, guided_to = 1;  ///< times at which it is guided, shares of `process.last()`
  double power = 1, constant = 0.01;      ///< weight (|d|^2 + constant)^-power of each sample; power 0: none
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
    require<OptionError>(o.guidance_min <= o.guidance_max, "guidance range [", o.guidance_min, ", ", o.guidance_max,
                         "]");
  }
  explicit MeanFlows(Options o = {}) requires std::default_initializable<Process> : MeanFlows(Process(), o) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "mean_flow.noise"), random);
  }

  /// Pairs of the proposal.
  [[nodiscard]] ContinuousDraws draw(std::int64_t batch, Randomness random) const {
    return draw_pairs(options.times, process, options.same_share, options.guidance_min, options.guidance_max, batch,
                      random, "mean_flow");
  }

  /// The same for given draws and noise [B, ...]; of `random` the step counts, for messages.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const ContinuousDraws& d, const Tensor<T, D>& noise, Randomness random = {}) const {
    static_assert((diffusion::detail::require_two_times<Student, T, D, C>(), true));
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const C& condition = batch.condition.conditional;
    const auto own = [&](const C& c) {
      return diffusion::velocity_of(process, x_t, diffusion::predict_between(process, student, x_t, d.t, d.t, c), d.t);
    };
    auto velocity = flow_velocity(options.source, process, teacher, batch, x_t, noise, d.t, d.guidance);
    const bool guided = options.omega != 1 || options.kappa != 0;
    const Tensor<T, D> here = improved || guided ? own(condition) : Tensor<T, D>{};
    if (guided) velocity = guide(velocity, here, own(batch.condition.null), d.t);
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

 private:
  /// omega v + (1 - omega - kappa) u_null + kappa u_condition within the guided times.
  template <class T, class D>
  Tensor<T, D> guide(const Tensor<T, D>& velocity, const Tensor<T, D>& conditional, const Tensor<T, D>& null,
                     const diffusion::Times& t) const {
    std::vector<double> omega, kappa, rest;
    for (const diffusion::Time time : t) {
      const double share = time / process.last();
      const bool on = share >= options.guided_from && share <= options.guided_to;
      omega.push_back(on ? options.omega : 1);
      kappa.push_back(on ? options.kappa : 0);
      rest.push_back(1 - omega.back() - kappa.back());
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
