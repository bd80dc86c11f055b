// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/distances/mse.hpp>
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
/// Train with N = 8, 4, 2, 1 in turn (`PreviousStageTeacher`). The target network is not used. [Hyper-SD Eq. 1-3]
template <diffusion::Prediction P = diffusion::Epsilon>
struct Pd {
  using Options = PdOptions;
  Options options{};
  diffusion::NoiseTable table;

  /// Throws OptionError unless N divides T.
  explicit Pd(diffusion::NoiseTable noise, Options o = {}) : options(o), table(std::move(noise)) {
    require<OptionError>(o.steps >= 1 && table.size() % o.steps == 0, "Pd: ", o.steps, " steps do not divide ",
                         table.size(), " training times");
    require<OptionError>(!(P::needs_signal && table.zero_terminal_snr()),
                         "a noise prediction cannot be distilled at zero terminal SNR; use Velocity or X0");
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
    requires diffusion::Denoiser<Student, T, D, C> && diffusion::Predictor<Teacher, T, D, C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    const auto sub = static_cast<std::uint64_t>(random.step);
    return loss_at(student, teacher, batch, draw(batch.x0.dim(0), random),
                   ops::normal<T, D>(batch.x0.shape(), stream(random.seed, "pd.noise", sub)));
  }

  /// n uniform on 1 ... N for each sample; t = n T / N - 1, the end one jump below (at least 0), the middle half way.
  [[nodiscard]] PdDraws draw(std::int64_t batch, Randomness random) const {
    const Stream s = stream(random.seed, "pd.draw", static_cast<std::uint64_t>(random.step));
    const int length = table.size() / options.steps;
    PdDraws out;
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto at = static_cast<std::uint64_t>(2 * b);
      const int n = 1 + static_cast<int>(integer_at(s, at, options.steps));
      out.t.push_back(n * length - 1);
      out.end.push_back(std::max(0, (n - 1) * length - 1));
      out.middle.push_back((out.t.back() + out.end.back()) / 2);
      out.guidance.push_back(options.guidance_min + (options.guidance_max - options.guidance_min) *
                                                        static_cast<double>(uniform_at(s, at + 1)));
    }
    return out;
  }

  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const PdDraws& d, const Tensor<T, D>& noise) const {
    const P prediction;
    const auto x_t = diffusion::add_noise(table, batch.x0, noise, d.t);
    const auto step = [&](const Tensor<T, D>& x, const diffusion::Times& from, const diffusion::Times& to) {
      const auto f = diffusion::predict_guided(teacher, x, diffusion::time_tensor<T, D>(from), batch.condition,
                                               d.guidance);
      return diffusion::jump(table, prediction, x, f, from, to);
    };
    const auto goal = step(step(x_t, d.t, d.middle), d.middle, d.end);  // [Hyper-SD Eq. 1, 2]
    const Var<T, D> x(x_t);
    const auto f = student(x, diffusion::time_tensor<T, D>(d.t), batch.condition.conditional);
    if (options.space == PdSpace::x)  // [Hyper-SD Eq. 3]
      return {autograd::mse(diffusion::jump(table, prediction, x, f, d.t, d.end), goal), {}};
    const auto clean = diffusion::detail::apply(forms<T, D>(d, false), x_t, goal);
    if (options.space == PdSpace::eps)
      return {autograd::mse(diffusion::eps_of(table, prediction, x, f, d.t),
                            diffusion::eps_of(table, diffusion::X0{}, x_t, clean, d.t)), {}};
    const Where<T, D, C> where{{}, batch.condition.conditional, forms<T, D>(d, true).x};
    return {Mse{}(diffusion::x0_of(table, prediction, x, f, d.t), clean, where), {}};
  }

 private:
  /// x* = (x_r - sigma_r / sigma_t x_t) / (alpha_r - sigma_r / sigma_t alpha_t) as a form in (x_t, x_r), or the root of
  /// each sample's weight in place of its first coefficient.
  template <class T, class D>
  diffusion::SampleForms<T, D> forms(const PdDraws& d, bool weights) const {
    return diffusion::sample_forms<T, D>(static_cast<std::int64_t>(d.t.size()), [&](std::size_t b) {
      const diffusion::Level t = table.level(d.t[b]), r = table.level(d.end[b]);
      if (weights) {
        const double snr = t.alpha * t.alpha / (t.sigma * t.sigma);
        const double w = options.weight == PdWeight::one            ? 1
                         : options.weight == PdWeight::snr_plus_one ? snr + 1
                                                                    : std::max(snr, 1.0);
        return diffusion::Form{std::sqrt(w), 0};
      }
      const double ratio = r.sigma / t.sigma, scale = 1 / (r.alpha - ratio * t.alpha);
      return diffusion::Form{-ratio * scale, scale};
    });
  }
};

}  // namespace hypersd::distill
