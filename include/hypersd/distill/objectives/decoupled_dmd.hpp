// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/distill/objectives/dmd.hpp>

namespace hypersd::distill {

/// Decoupled distribution matching (Liu et al., arXiv 2511.22677): the guided direction of `Dmd` is the sum of two,
///
///   matching       x0_fake - x0_teacher of the conditional teacher, at any time
///   augmentation   -(guidance - 1) (x0_teacher - x0_null), which turns the teacher into a few-step model
///
/// each over mean |x - x0_teacher| of the sample where it is taken. The augmentation has a time and noise of its own,
/// at noise levels not above the one where the student's evaluation begins. At the same time and noise the sum is the
/// direction of `Dmd` with this guidance, up to the normalization. Published: without the matching the
/// samples' variance grows without bound.
template <class Fake, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Critic = NoCritic>
struct DecoupledDmd : FromSamples<DecoupledDmd<Fake, Process, Critic>> {
  using Options = DmdOptions;
  using Matching = Dmd<Fake, Process, Critic>;
  Matching matching;  ///< without guidance
  double guidance = 2;

  /// The guidance of `o` is the augmentation's. Throws as `Dmd`.
  DecoupledDmd(Process p, Fake* fake, Options o = {}, Critic* critic = nullptr)
      : matching(std::move(p), fake, unguided(o), critic), guidance(o.guidance) {
    require<OptionError>(guidance >= 1, "decoupled Dmd: guidance = ", guidance, ", at least 1 needed");
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  auto samples(const Student& student, const Teacher& teacher, const Target& target, const Batch<T, D, C>& batch,
               Randomness random) const {
    return matching.samples(student, teacher, target, batch, random);
  }
  template <class Samples, class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_from(const Samples& samples, const Student& student, const Teacher& teacher,
                             const Target& target, const Batch<T, D, C>& batch, Randomness random) const {
    auto out = matching.loss_from(samples, student, teacher, target, batch, random);
    // The times at which the samples began are those that the matching has drawn.
    const DmdDraws drawn = matching.draw(batch.x0.dim(0), random);
    const auto term = augmentation(samples.x, teacher, batch, times(drawn.start, random),
                                   diffusion::normals<T, D>(batch.x0.shape(), random, "decoupled.noise"));
    out.diagnostics.emplace_back("augmentation", term.value());
    out.loss = autograd::add(out.loss, term);
    return out;
  }
  template <class Samples, class Student, class Teacher, class Target, class T, class D, class C, class Average>
  requires requires(const Matching& m, const Samples& s, const Student& n, const Teacher& t, const Target& g,
                    const Batch<T, D, C>& b, Randomness r, const Average& a) {
    m.learn_from(s, n, t, g, b, r, a);
  }
  void learn_from(const Samples& samples, const Student& student, const Teacher& teacher, const Target& target,
                  const Batch<T, D, C>& batch, Randomness random, const Average& average) const {
    matching.learn_from(samples, student, teacher, target, batch, random, average);
  }
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    matching.visit_state(f, prefix);
  }

  /// Times of the augmentation: between the shares `t_min` and `t_max` of the process, and not above `start`.
  [[nodiscard]] diffusion::Times times(const diffusion::Times& start, Randomness random) const {
    const Process& process = matching.process;
    const Stream s = random.stream("decoupled.t");
    const auto at = [&](double share) { return diffusion::uniform_times(process, 1, s, 0, share, share)[0]; };
    diffusion::Times out;
    for (std::size_t b = 0; b < start.size(); ++b) {
      const diffusion::Time high = std::min(at(matching.options.t_max), start[b]);
      out.push_back(diffusion::times_between(process, std::min(at(matching.options.t_min), high), high, 1, s,
                                             random.first_sample + static_cast<std::int64_t>(b))[0]);
    }
    return out;
  }
  /// The augmentation's loss of samples x at times t and noise [B, ...].
  template <class Teacher, class T, class D, class C>
  Var<T, D> augmentation(const Var<T, D>& x, const Teacher& teacher, const Batch<T, D, C>& batch,
                         const diffusion::Times& t, const Tensor<T, D>& noise) const {
    const Process& process = matching.process;
    const auto x_t = diffusion::add_noise(process, x.value(), noise, t);
    const auto conditional = diffusion::predict(process, teacher, x_t, t, batch.condition.conditional);
    const auto null = diffusion::predict(process, teacher, x_t, t, batch.condition.null);
    const auto gap =
        ops::map(ops::Abs{}, ops::map(ops::Sub{}, x.value(), diffusion::x0_of(process, x_t, conditional, t)));
    std::vector<double> scale;
    for (const diffusion::Time one : t) scale.push_back((1 - guidance) * process.x0(one).prediction);
    const Numbers<T, D> w(Shape{x.dim(0)});
    ops::map_into(w, PerMeanDistance{static_cast<double>(x.size()) / static_cast<double>(x.dim(0))},
                  ops::sum_to_samples(gap), diffusion::sample_scales<T, D>(scale));
    return inject_gradient(x, ops::map(ops::Mul{}, ops::map(ops::Sub{}, conditional, null), ops::per_sample(w)));
  }

 private:
  static Options unguided(Options o) {
    o.guidance = 1;
    return o;
  }
};

}  // namespace hypersd::distill
