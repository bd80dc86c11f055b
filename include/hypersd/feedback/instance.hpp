// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/feedback/decoder.hpp>
#include <hypersd/feedback/solo_loss.hpp>
#include <hypersd/ops/random.hpp>

namespace hypersd::feedback {

/// A batch whose samples are annotated: the objects that x0's pictures show.
template <class T, class D, class Condition>
struct AnnotatedBatch : diffusion::Batch<T, D, Condition> {
  std::vector<data::Instances> objects;  ///< one list a sample
};

/// Settings of the instance loss.
struct InstanceOptions {
  diffusion::Time noisy_min = 249,
                  noisy_max = 749;  ///< range of t_a, to which real data are diffused: content survives
  diffusion::Time denoised = 24;    ///< d_t, at which the clean data are predicted; below noisy_min
  int steps = 2;                    ///< the student's steps from t_a to d_t, without gradient
  SoloWeights weights{};
};

/// Perceptual structure feedback: real data are diffused to t_a, denoised by the student to d_t without gradient, and
/// the clean data that one evaluation there predicts must show the instances of the originals to a frozen segmenter.
/// [Hyper-SD Eq. 14] Decoder and segmenter must not require gradients.
template <class Decode, class Segment, diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct InstanceFeedback {
  using Options = InstanceOptions;
  Options options{};
  Decode decoder;
  Segment segmenter;
  Process process;

  /// Throws OptionError for times out of order or off the table.
  InstanceFeedback(Process p, Decode d, Segment s, Options o = {})
      : options(o), decoder(std::move(d)), segmenter(std::move(s)), process(std::move(p)) {
    require<OptionError>(process.first() <= o.denoised && o.denoised < o.noisy_min && o.noisy_min <= o.noisy_max &&
                             o.noisy_max <= process.last() && o.steps >= 1,
                         "instance feedback: times ", o.denoised, " < ", o.noisy_min, " ... ", o.noisy_max,
                         " of a process with times in [", process.first(), ", ", process.last(), "], steps ", o.steps);
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  diffusion::LossResult<T, D> loss(const Student& student, const Teacher&, const Target&,
                                   const AnnotatedBatch<T, D, C>& batch, diffusion::Randomness random) const {
    const auto t = diffusion::times_between(process, options.noisy_min, options.noisy_max, batch.x0.dim(0),
                                            random.stream("instance.time"), random.first_sample);
    return loss_at(student, batch, t, diffusion::normals<T, D>(batch.x0.shape(), random, "instance.noise"));
  }

  /// The same for given times t_a and noise [B, ...].
  template <class Student, class T, class D, class C>
  diffusion::LossResult<T, D> loss_at(const Student& student, const AnnotatedBatch<T, D, C>& batch,
                                      const diffusion::Times& noisy, const Tensor<T, D>& noise) const {
    const C& condition = batch.condition.conditional;
    Tensor<T, D> x_t = diffusion::add_noise(process, batch.x0, noise, noisy);
    diffusion::Times from = noisy;
    for (int i = 1; i <= options.steps; ++i) {
      diffusion::Times to;
      for (const diffusion::Time t : noisy) {
        const double way = (t - options.denoised) * i / options.steps;
        to.push_back(t - (Process::discrete ? std::floor(way) : way));
      }
      const auto f = diffusion::predict(process, student, x_t, from, condition);
      x_t = diffusion::jump(process, x_t, f, from, to);
      from = to;
    }
    const Var<T, D> x(x_t);
    const auto x0 = diffusion::x0_of(process, x, diffusion::evaluate(process, student, x, from, condition), from);
    const auto out = segmenter(decoder(x0));
    return solo_loss(out, solo_targets<T, D>(batch.objects, out.category.dim(1), out.mask.dim(1), out.category.dim(3)),
                     options.weights);
  }
};

}  // namespace hypersd::feedback
