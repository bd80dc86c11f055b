// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/draw.hpp>
#include <hypersd/distill/jump_grid.hpp>
#include <hypersd/distill/objective.hpp>

namespace hypersd::distill {

/// In what the student of progressive distillation is compared with two steps of its teacher.
enum class PdSpace {
  x,   ///< where the jump ends, as Eq 3 says: late jumps weigh little
  x0,  ///< the clean data that would make one jump end there (Salimans and Ho 2022, appendix G)
  eps  ///< the noise that belongs to it
};
/// Weight of a sample in the x0 space: 1, max(SNR, 1) or SNR + 1 (Salimans and Ho, section 4).
enum class PdWeight { one, truncated_snr, snr_plus_one };

/// Settings of progressive distillation.
struct PdOptions {
  int steps = 4;                              ///< N, jumps of the student from T - 1 to 0; the teacher takes 2 N
  double guidance_min = 1, guidance_max = 1;  ///< the teacher's scale; in the first stage only, later it is built in
  PdSpace space = PdSpace::x0;
  PdWeight weight = PdWeight::truncated_snr;
};

/// One iteration's draws: the jump t -> end with the teacher's stop between them.
struct PdDraws {
  diffusion::Times t, middle, end;
  std::vector<double> guidance;
};

/// Progressive distillation: one step of the student replaces two of its teacher, the student of the stage before.
/// Train with the stages `halving(N)` in turn: `pipeline::staged` with `follow_previous`. The target network is not
/// used. [Eq. 1-3]
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>>
struct Pd {
  using Options = PdOptions;
  Options options{};
  Process process;

  /// Throws OptionError unless 2 N steps fit in T.
  explicit Pd(Process p, Options o = {}) : options(o), process(std::move(p)) {
    (void)grid();
    process.require_signal();
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "pd.noise"));
  }

  [[nodiscard]] JumpGrid grid() const { return {process, options.steps, 2}; }

  /// A uniform one of the N jumps for each sample.
  [[nodiscard]] PdDraws draw(std::int64_t batch, Randomness random) const {
    const JumpGrid jumps = grid();
    const JumpDraws d = draw_jumps(jumps, batch, options.guidance_min, options.guidance_max, random.stream("pd.draw"),
                                   random.first_sample);
    return {jumps.times(d.jumps, 0), jumps.times(d.jumps, 1), jumps.times(d.jumps, 2), d.guidance};
  }

  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const PdDraws& d, const Tensor<T, D>& noise) const {
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const auto ask = [&](const Tensor<T, D>& y, const diffusion::Times& t) {
      return diffusion::predict_guided(process, teacher, y, t, batch.condition, d.guidance);
    };
    const auto first = ask(x_t, d.t);
    const auto x_m = diffusion::jump(process, x_t, first, d.t, d.middle);  // [Hyper-SD Eq. 1]
    const auto second = ask(x_m, d.middle);
    const Var<T, D> x(x_t);
    const auto f = diffusion::evaluate(process, student, x, d.t, batch.condition.conditional);
    if (options.space == PdSpace::x)  // [Hyper-SD Eq. 3]
      return {autograd::mse(diffusion::jump(process, x, f, d.t, d.end),
                            diffusion::jump(process, x_m, second, d.middle, d.end)),
              {}};  // [Eq. 2]
    const auto clean = target(d, x_t, first, second);
    if (options.space == PdSpace::eps)
      return {autograd::mse(diffusion::eps_of(process, x, f, d.t),
                            diffusion::eps_of(process.template with<diffusion::X0>(), x_t, clean, d.t)),
              {}};
    const Where<T, D, C> where{{}, batch.condition.conditional, roots<T, D>(d)};
    return {Mse{}(diffusion::x0_of(process, x, f, d.t), clean, where), {}};
  }

 private:
  /// Clean data x* = (x_r - sigma_r / sigma_t x_t) / (alpha_r - sigma_r / sigma_t alpha_t) for which one jump ends
  /// where the teacher's two end, as a sum of x_t and both predictions: its small differences are of coefficients, in
  /// double.
  template <class T, class D>
  Tensor<T, D> target(const PdDraws& d, const Tensor<T, D>& x_t, const Tensor<T, D>& first,
                      const Tensor<T, D>& second) const {
    const auto mix = [&](auto&& form, const Tensor<T, D>& a, const Tensor<T, D>& b) {
      return diffusion::combine(diffusion::sample_forms<T, D>(a.dim(0), form), a, b);
    };
    const auto one = [&](std::size_t b) { return process.jump(d.t[b], d.middle[b]); };
    const auto two = [&](std::size_t b) { return process.jump(d.middle[b], d.end[b]); };
    const auto ratio = [&](std::size_t b) { return process.level(d.end[b]).sigma / process.level(d.t[b]).sigma; };
    const auto scale = [&](std::size_t b) {
      return 1 / (process.level(d.end[b]).alpha - ratio(b) * process.level(d.t[b]).alpha);
    };
    const auto part = mix(
        [&](std::size_t b) {
          return diffusion::Form{scale(b) * (two(b).x * one(b).x - ratio(b)), scale(b) * two(b).x * one(b).prediction};
        },
        x_t, first);
    return mix([&](std::size_t b) { return diffusion::Form{1, scale(b) * two(b).prediction}; }, part, second);
  }

  /// Roots of the samples' weights.
  template <class T, class D>
  Numbers<T, D> roots(const PdDraws& d) const {
    std::vector<double> out;
    for (const diffusion::Time time : d.t) {
      const diffusion::Level l = process.level(time);
      const double snr = l.alpha * l.alpha / (l.sigma * l.sigma);
      const double w = options.weight == PdWeight::one            ? 1
                       : options.weight == PdWeight::snr_plus_one ? snr + 1
                                                                  : std::max(snr, 1.0);
      out.push_back(std::sqrt(w));
    }
    return diffusion::sample_scales<T, D>(out);
  }
};

}  // namespace hypersd::distill
