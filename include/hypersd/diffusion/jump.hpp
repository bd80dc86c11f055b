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

/// Times as the tensor [B] that a denoiser takes.
template <class T, class D = Cpu>
Numbers<T, D> time_tensor(const Times& t) {
  return sample_scales<T, D>(t);
}

namespace detail {

inline void check_batch(const char* op, const Shape& x, const Shape& prediction, const Times& t) {
  require_same_shape(op, x, prediction);
  require<ShapeError>(x.rank() > 0 && x[0] == static_cast<std::int64_t>(t.size()), op, ": ", t.size(),
                      " times for a batch of shape ", x);
}

template <class T, class D>
Tensor<T, D> apply(const SampleForms<T, D>& f, const Tensor<T, D>& x, const Tensor<T, D>& prediction) {
  return ops::map(ops::Combine{}, x, prediction, ops::per_sample(f.x), ops::per_sample(f.prediction));
}
template <class T, class D>
Var<T, D> apply(const SampleForms<T, D>& f, const Var<T, D>& x, const Var<T, D>& prediction) {
  return autograd::combine_samples(f.x, x, f.prediction, prediction);
}

}  // namespace detail

/// Psi: x [B, ...] at times `from` moved to times `to` along the direction of `prediction`, sample by sample.
/// `Batch` is Tensor or Var. `to[b] == from[b]` returns sample b unchanged; `kOrigin` gives clean data.
/// Throws ShapeError, OptionError (a time off the table), NumericError (noise prediction at zero SNR).
template <Prediction P, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> jump(const NoiseTable& table, P, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& from,
                 const Times& to) {
  detail::check_batch("jump", x.shape(), prediction.shape(), from);
  detail::check_batch("jump", x.shape(), prediction.shape(), to);
  return detail::apply(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return jump_form<P>(table, from[b], to[b]); }),
                       x, prediction);
}

/// One step of a deterministic solver from times `from` to times `to`, sample by sample. For `DdimOde` it is `jump`.
template <AffineSolver S, Prediction P, template <Scalar, Device> class Batch, Scalar T, Device D>
requires DeterministicSolver<S> Batch<T, D> ode_step(const S& solver, const NoiseTable& table, P, const Batch<T, D>& x,
                                                     const Batch<T, D>& prediction, const Times& from,
                                                     const Times& to) {
  detail::check_batch("ode_step", x.shape(), prediction.shape(), from);
  detail::check_batch("ode_step", x.shape(), prediction.shape(), to);
  return detail::apply(sample_forms<T, D>(x.dim(0),
                                          [&](std::size_t b) {
                                            const auto c = solver.template step<P>(table, {from[b], to[b], false});
                                            return Form{c.x, c.prediction};
                                          }),
                       x, prediction);
}

/// Clean data that `prediction` at times t stands for.
template <Prediction P, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> x0_of(const NoiseTable& table, P, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& t) {
  detail::check_batch("x0_of", x.shape(), prediction.shape(), t);
  return detail::apply(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return P::x0(table.level(t[b])); }), x,
                       prediction);
}

/// Noise that `prediction` at times t stands for.
template <Prediction P, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> eps_of(const NoiseTable& table, P, const Batch<T, D>& x, const Batch<T, D>& prediction, const Times& t) {
  detail::check_batch("eps_of", x.shape(), prediction.shape(), t);
  return detail::apply(sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return P::eps(table.level(t[b])); }), x,
                       prediction);
}

/// The same prediction as another type: `convert(table, Epsilon{}, Velocity{}, x, eps, t)` is v.
template <Prediction From, Prediction To, template <Scalar, Device> class Batch, Scalar T, Device D>
Batch<T, D> convert(const NoiseTable& table, From, To, const Batch<T, D>& x, const Batch<T, D>& prediction,
                    const Times& t) {
  detail::check_batch("convert", x.shape(), prediction.shape(), t);
  return detail::apply(
      sample_forms<T, D>(x.dim(0), [&](std::size_t b) { return convert_form<From, To>(table.level(t[b])); }), x,
      prediction);
}

}  // namespace hypersd::diffusion
