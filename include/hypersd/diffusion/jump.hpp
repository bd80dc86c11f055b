// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/sample_scales.hpp>
#include <hypersd/diffusion/solver.hpp>

/// \file
/// The scalar forms applied to batches: sample b of the tensors x, prediction [B, ...] has its own time t[b]. All work
/// on tensors and, differentiably in x and prediction, on variables. Coefficients are computed in double.

namespace hypersd::diffusion {

/// Per-sample coefficients a x + b y, ready for `autograd::combine_samples`.
template <class T, class D>
struct SampleForms {
  Numbers<T, D> x, prediction;
};

/// `form(b)` for b = 0 ... batch-1.
template <class T, class D, class F>
SampleForms<T, D> sample_forms(std::int64_t batch, F&& form) {
  std::vector<double> a, b;
  for (std::int64_t i = 0; i < batch; ++i) {
    const Form f = form(static_cast<std::size_t>(i));
    a.push_back(f.x);
    b.push_back(f.prediction);
  }
  return {sample_scales<T, D>(a), sample_scales<T, D>(b)};
}

/// What a denoiser of `process` is given as its times [B].
template <class T, class D = Cpu, DiffusionProcess Process>
Numbers<T, D> time_tensor(const Process& process, const Times& t) {
  if constexpr (Process::maps_time) {
    Times mapped;
    for (const Time one : t) mapped.push_back(process.network_time(one));
    return sample_scales<T, D>(mapped);
  } else {
    return sample_scales<T, D>(t);
  }
}

namespace detail {

inline void check_batch(const char* op, const Shape& x, const Shape& prediction, const Times& t) {
  require_same_shape(op, x, prediction);
  require<ShapeError>(x.rank() > 0 && x[0] == static_cast<std::int64_t>(t.size()), op, ": ", t.size(),
                      " times for a batch of shape ", x);
}

}  // namespace detail

/// a x + b prediction with the coefficients of each sample.
template <class T, class D>
Tensor<T, D> combine(const SampleForms<T, D>& f, const Tensor<T, D>& x, const Tensor<T, D>& prediction) {
  return ops::map(ops::Combine{}, x, prediction, ops::per_sample(f.x), ops::per_sample(f.prediction));
}
/// The same, differentiable in both.
template <class T, class D>
Var<T, D> combine(const SampleForms<T, D>& f, const Var<T, D>& x, const Var<T, D>& prediction) {
  return autograd::combine_samples(f.x, x, f.prediction, prediction);
}

/// Psi: x [B, ...] at times `from` moved to times `to` along the direction of `prediction`, sample by sample.
/// `Batch` is Tensor or Var. `to[b] == from[b]` returns sample b unchanged; the process's `clean()` gives clean data.
/// Throws ShapeError, OptionError (a time out of range), NumericError (an epsilon prediction at zero SNR).
template <DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> jump(const Process& process, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& from,
                 const Times& to) {
  detail::check_batch("jump", x.shape(), prediction.shape(), from);
  detail::check_batch("jump", x.shape(), prediction.shape(), to);
  return combine(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return process.jump(from[b], to[b]); }), x,
                 prediction);
}

/// One step of a deterministic solver from times `from` to times `to`, sample by sample. For `DdimOde` it is `jump`.
template <class S, DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
requires AffineSolver<S, Process> && DeterministicSolver<S, Process> Batch<T, D> ode_step(
    const S& solver, const Process& process, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& from,
    const Times& to) {
  detail::check_batch("ode_step", x.shape(), prediction.shape(), from);
  detail::check_batch("ode_step", x.shape(), prediction.shape(), to);
  return combine(sample_forms<T, D>(x.dim(0),
                                    [&](std::size_t b) {
                                      const auto c = solver.step(process, {from[b], to[b], false});
                                      return Form{c.x, c.prediction};
                                    }),
                 x, prediction);
}

/// Clean data that `prediction` at times t stands for.
template <DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> x0_of(const Process& process, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& t) {
  detail::check_batch("x0_of", x.shape(), prediction.shape(), t);
  return combine(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return process.x0(t[b]); }), x, prediction);
}

/// Noise that `prediction` at times t stands for.
template <DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> eps_of(const Process& process, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& t) {
  detail::check_batch("eps_of", x.shape(), prediction.shape(), t);
  return combine(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return process.eps(t[b]); }), x, prediction);
}

/// The same prediction as another type: `convert(process, Velocity{}, x, eps, t)` is v.
template <Prediction To, DiffusionProcess Process, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> convert(const Process& process, const To& to, const Batch<T, D>& x, const Batch<T, D>& prediction,
                    const Times& t) {
  detail::check_batch("convert", x.shape(), prediction.shape(), t);
  return combine(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return process.convert(to, t[b]); }), x, prediction);
}

}  // namespace hypersd::diffusion
