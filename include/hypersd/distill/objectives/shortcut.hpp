// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/distill/time_proposal.hpp>
#include <hypersd/distill/two_jumps.hpp>

namespace hypersd::distill {

/// Settings of shortcut models.
struct ShortcutOptions {
  int levels = 7;                 ///< jumps of 2^-levels, ..., 1/2, 1 of the way from data to noise; at least 1
  double shortcut_share = 0.125;  ///< share of samples that learn a jump from two; the others learn the velocity
  FlowSource source = FlowSource::data;
  double guidance_min = 1, guidance_max = 1;  ///< of the teacher, with `FlowSource::teacher`
};

/// Shortcut models (Frans et al., "One step diffusion via shortcut models"), progressive distillation's continuous
/// cousin, of a student with two times: on the grid of 2^levels equal parts of the way, the shortest jumps learn the
/// velocity of data (or teacher), and a jump of twice the length learns where two jumps of the target network land. A
/// sampler takes 2^j equal steps.
template <diffusion::DiffusionProcess Process = diffusion::Flow>
struct Shortcut {
  static_assert((diffusion::detail::require_continuous<Process>(), true));
  using Options = ShortcutOptions;
  Options options{};
  Process process;

  /// Throws OptionError for options out of range.
  explicit Shortcut(Process p, Options o = {}) : options(o), process(std::move(p)) {
    process.require_signal();
    require<OptionError>(o.levels >= 1 && o.levels <= 20 && 0 <= o.shortcut_share && o.shortcut_share <= 1,
                         "shortcut: levels = ", o.levels, ", shortcut_share = ", o.shortcut_share);
    require_guidance_range(o.guidance_min, o.guidance_max);
  }
  explicit Shortcut(Options o = {}) requires std::default_initializable<Process> : Shortcut(Process(), o) {}

  /// Jumps of each sample, with the stop between; `middle` = `end` for those that learn the velocity.
  struct Draws : ContinuousDraws {
    diffusion::Times middle;
  };
  /// The length uniform among the levels above the shortest, the beginning on multiples of it.
  [[nodiscard]] Draws draw(std::int64_t batch, Randomness random) const {
    const Stream s = random.stream("shortcut.draw");
    const std::int64_t parts = std::int64_t{1} << options.levels;
    const auto time = [&](std::int64_t i) {
      return process.schedule().at(static_cast<double>(i) / static_cast<double>(parts));
    };
    Draws out;
    for (std::int64_t b = random.first_sample; b < random.first_sample + batch; ++b) {
      const auto at = static_cast<std::uint64_t>(3 * b);
      const bool jumps = std::floor(static_cast<double>(b + 1) * options.shortcut_share) >
                         std::floor(static_cast<double>(b) * options.shortcut_share);
      const std::int64_t length = jumps ? std::int64_t{2} << integer_at(s, at, options.levels) : 1;
      const std::int64_t to = length * integer_at(s, at + 1, parts / length);
      out.t.push_back(time(to + length));
      out.middle.push_back(time(jumps ? to + length / 2 : to));
      out.end.push_back(time(to));
      out.guidance.push_back(uniform_between(options.guidance_min, options.guidance_max, s, at + 2));
    }
    return out;
  }

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return loss_at(student, teacher, target, batch, draw(batch.x0.dim(0), random),
                   diffusion::normals<T, D>(batch.x0.shape(), random, "shortcut.noise"));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& d, const Tensor<T, D>& noise) const {
    static_assert((diffusion::detail::require_two_times<Student, T, D, C>(), true));
    static_assert((diffusion::detail::require_two_times<Target, T, D, C>(), true));
    const auto x_t = diffusion::add_noise(process, batch.x0, noise, d.t);
    const C& condition = batch.condition.conditional;
    const auto velocity = flow_velocity(options.source, process, teacher, batch, x_t, noise, d.t, d.guidance);
    const auto landed = two_jumps(process, target, x_t, d.t, d.middle, d.end, condition);
    std::vector<double> on_x, on_velocity, on_landed;
    for (std::size_t b = 0; b < d.t.size(); ++b) {
      const diffusion::Form v = process.velocity(d.t[b]);
      const double own = d.middle[b] == d.end[b] ? 1 : 0;
      on_x.push_back(-own * v.x / v.prediction);
      on_velocity.push_back(own / v.prediction);
      on_landed.push_back(1 - own);
    }
    const auto scales = [](const std::vector<double>& v) { return diffusion::sample_scales<T, D>(v); };
    const auto known = diffusion::combine({scales(on_x), scales(on_velocity)}, x_t, velocity);
    const auto goal =
        diffusion::combine({scales(std::vector<double>(d.t.size(), 1.0)), scales(on_landed)}, known, landed);
    return {autograd::mse(diffusion::evaluate_between(process, student, Var<T, D>(x_t), d.t, d.end, condition), goal),
            {}};
  }
};

}  // namespace hypersd::distill
