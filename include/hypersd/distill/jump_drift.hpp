// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/evaluate_along.hpp>
#include <hypersd/distill/objective.hpp>
#include <vector>

/// \file
/// What the objectives of continuous time share. A consistent student jumps from every point of a trajectory to the
/// same end, so its jump J(x_t, t -> s) = A x_t + B f(x_t, t) does not change along the flow. How it does change is
///
///   dJ/dt = A' x + A v + B' f + B df/dt,   v = dx/dt of the flow,   df/dt by one JVP along (v, 1).

namespace hypersd::distill {

/// Whose velocity a student follows: the guided teacher's, or that of the data and noise of each sample.
enum class FlowSource { teacher, data };

/// v at x_t [B, ...], which `noise` has made of the batch's data at times t. `guidance` are the teacher's scales.
template <diffusion::DiffusionProcess Process, class Teacher, class T, class D, class C>
Tensor<T, D> flow_velocity(FlowSource source, const Process& process, const Teacher& teacher,
                           const Batch<T, D, C>& batch, const Tensor<T, D>& x_t, const Tensor<T, D>& noise,
                           const diffusion::Times& t, const std::vector<double>& guidance) {
  if (source == FlowSource::data) return diffusion::pair_velocity(process, batch.x0, noise, t);
  return diffusion::velocity_of(process, x_t,
                                diffusion::predict_guided(process, teacher, x_t, t, batch.condition, guidance), t);
}

/// The student's prediction f with its tape, and the tangent g, which points to where f should move.
template <class T, class D>
struct JumpDrift {
  Var<T, D> prediction;
  Tensor<T, D> tangent;
};

/// What an objective of tangents compares in an iteration: its loss is mean (f - stopgrad(f + g))^2.
template <class T, class D>
struct Residual {
  JumpDrift<T, D> drift;  ///< with the tangent as it is bounded
  diffusion::Times t, end;
  diffusion::Readings diagnostics;
};

namespace detail {

/// The unit in which a prediction counts the data.
template <class Prediction>
double data_unit(const Prediction& p) {
  if constexpr (requires { p.sigma_data; })
    return p.sigma_data;
  else
    return 1;
}

/// k = c A_v / V of `jump_drift`: A_v is A of a velocity's jump, V is d velocity / d prediction.
template <class Process>
double drift_gain(const Process& process, diffusion::Time t, diffusion::Time end) {
  const diffusion::Level from = process.level(t), to = process.level(end);
  const double flow = (to.alpha * from.sigma_rate - to.sigma * from.alpha_rate) / from.wronskian();
  return data_unit(process.prediction()) * flow / process.velocity(t).prediction;
}

/// Coefficients of the tangent of one sample:
/// g = velocity v + x x_t + prediction f + share d f / d (direction (v, 1)).
struct DriftCoefficients {
  double direction, velocity, x, prediction;

  template <class Process>
  DriftCoefficients(const Process& process, diffusion::Time t, diffusion::Time end, double share) {
    using diffusion::Form;
    const Form j = process.jump(t, end), rate = diffusion::Rates(process).jump(t, end), v = process.velocity(t);
    const double k = drift_gain(process, t, end);
    direction = k * j.prediction;
    velocity = k * j.x;
    x = k * (share * rate.x - (1 - share) * j.x * v.x);
    prediction = k * (share * rate.prediction - (1 - share) * j.x * v.prediction);
  }
};

}  // namespace detail

/// The student at x_t [B, ...] and times t with the tangent
///
///   g = k (A (v - v_student) + r (dJ/dt - A (v - v_student))),   k = c A_v / V,
///
/// where r = `share` in [0, 1] fades in all but the difference of velocities, V is d velocity / d prediction, A_v is A
/// of a velocity's jump, and c is the prediction's `sigma_data`, or 1. On TrigFlow k = cos(t - s) and g is that of sCM
/// (Lu and Song, Eq 8 and Algorithm 1); on a rectified flow k = 1 and g = v - f - r (t - s) df/dt. EDM has the loss of
/// the TrigFlow to which it is equivalent. A student with a second time is told `end`. `velocity` is v, and df/dt is
/// taken along (`direction`, 1), which is v too unless an objective says otherwise, [B, ...] each.
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
JumpDrift<T, D> jump_drift(const Process& process, const Student& student, const Tensor<T, D>& x_t,
                           const Tensor<T, D>& velocity, const Tensor<T, D>& direction, const diffusion::Times& t,
                           const diffusion::Times& end, const C& condition, double share = 1) {
  const std::size_t batch = t.size();
  std::vector<double> steps, on_velocity, on_x, on_prediction;
  for (std::size_t b = 0; b < batch; ++b) {
    const detail::DriftCoefficients c(process, t[b], end[b], share);
    steps.push_back(c.direction);
    on_velocity.push_back(c.velocity);
    on_x.push_back(c.x);
    on_prediction.push_back(c.prediction);
  }
  const auto scales = [](const std::vector<double>& v) { return diffusion::sample_scales<T, D>(v); };
  // The factor of df/dt is in the direction: at the ends of a process the derivative alone may be large.
  const auto dx = ops::map(ops::Mul{}, direction, ops::per_sample(scales(steps)));
  auto along = diffusion::evaluate_along(process, student, autograd::Dual<T, D>{x_t, dx}, {t, steps},
                                         {end, std::vector<double>(batch, 0.0)}, condition);
  const Tensor<T, D>& f = along.prediction.value();
  require_same_shape("prediction", x_t.shape(), f.shape());
  const auto known = diffusion::combine({scales(on_x), scales(on_velocity)}, x_t, velocity);
  const auto own =
      diffusion::combine({scales(on_prediction), scales(std::vector<double>(batch, share))}, f, along.derivative);
  return {std::move(along.prediction), ops::map(ops::Add{}, known, own)};
}

/// The same along the flow itself, (v, 1).
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
JumpDrift<T, D> jump_drift(const Process& process, const Student& student, const Tensor<T, D>& x_t,
                           const Tensor<T, D>& velocity, const diffusion::Times& t, const diffusion::Times& end,
                           const C& condition, double share = 1) {
  return jump_drift(process, student, x_t, velocity, velocity, t, end, condition, share);
}

/// |g|^2 of each sample. Throws NumericError naming iteration, sample and times where one is not finite.
template <class T, class D>
std::vector<double> tangent_squares(const Tensor<T, D>& tangent, const diffusion::Times& t, const diffusion::Times& end,
                                    Randomness random) {
  std::vector<double> out;
  for (const T square : ops::sum_to_samples(ops::map(ops::Mul{}, tangent, tangent)).to_vector())
    out.push_back(static_cast<double>(square));
  for (std::size_t b = 0; b < out.size(); ++b)
    require<NumericError>(std::isfinite(out[b]), "the tangent of sample ", b, " is not finite in step ", random.step,
                          ": time ", t[b], ", jump to ", end[b]);
  return out;
}

/// mean over all elements of w (f - stopgrad(f + g))^2 with a weight for each sample, if given: its gradient in f is
/// -2 w g / elements.
template <class T, class D>
Var<T, D> tangent_loss(const Var<T, D>& prediction, const Tensor<T, D>& tangent,
                       const std::vector<double>& weights = {}) {
  // f - stopgrad(f) is 0 exactly, so that g is not rounded to f's precision.
  const auto step = autograd::sub(prediction, prediction.value());
  if (weights.empty()) return autograd::mse(step, tangent);
  std::vector<double> roots;
  for (const double w : weights) roots.push_back(std::sqrt(w));
  const auto scale = ops::per_sample(diffusion::sample_scales<T, D>(roots));
  return autograd::mse(autograd::mul(step, scale), ops::map(ops::Mul{}, tangent, scale));
}

}  // namespace hypersd::distill
