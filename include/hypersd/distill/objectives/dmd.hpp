// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/inject_gradient.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/one_step.hpp>

namespace hypersd::distill {

/// Settings of distribution matching distillation.
struct DmdOptions {
  /// Times at which the student's evaluation may begin; empty: the table's last. The highest begins in pure noise, so
  /// {800} is a one-step student with the time input 800; the others begin in noised data.
  diffusion::Times start = {};
  double guidance = 2;                ///< of the teacher's score (g form); the fake score is never guided
  double t_min = 0.02, t_max = 0.98;  ///< range of the times at which the scores are compared, shares of the process
  bool paper_alpha_weight = false;    ///< keep the factor alpha_t that published code drops
  int learn_per_update = 1;           ///< updates of the fake score for one of the student (DMD2: 5 to 10)
  double regression_weight = 0.25;    ///< of the MSE to paired end points, where the batch has them
  double adversarial_weight = 0;      ///< of the critic's loss on the samples (DMD2)
};

/// A score of the student's own distribution that is trained on its samples.
template <class F, class T, class D, class C>
concept LearningScore = requires(F& fake, const Tensor<T, D>& x, const C& c) {
  fake.learn(x, c, Randomness{}, OwnGradients{});
};

/// One iteration's draws.
struct DmdDraws {
  diffusion::Times start, t;
};

/// scale / (sum / elements), the weight of a sample whose distances to the teacher's data have the sum `sum`; 0 where
/// that is 0.
struct PerMeanDistance {
  double elements;
  template <class T>
  HYPERSD_HD T operator()(T sum, T scale) const {
    return sum > T(0) ? static_cast<T>(static_cast<double>(scale) / (static_cast<double>(sum) / elements)) : T(0);
  }
};

/// Stands for "no fake score"; `Dmd` refuses it.
struct NoFakeScore {};

/// Distribution matching distillation (Yin et al. 2024): the student's clean sample x, noised to a random time, is
/// moved by the difference of the fake and the teacher's score,
///
///   g = (x0_teacher - x0_fake) / mean |x - x0_teacher| with the sign that lowers the divergence,
///
/// plus a regression on paired data and, as DMD2 has it, a critic. `learn` trains the fake score and the critic on the
/// samples of the same draws. [Hyper-SD Eq. 8]
template <class Fake = NoFakeScore, diffusion::DiffusionProcess Process = diffusion::Discrete<>,
          class Critic = NoCritic>
struct Dmd : FromSamples<Dmd<Fake, Process, Critic>> {
  static_assert(!std::same_as<Fake, NoFakeScore>,
                "Dmd needs a fake-score model of the student's distribution: Dmd<FakeScore<Network>>");
  static_assert(diffusion::SameProcess<typename diffusion::detail::ProcessOf<Fake, Process>::type, Process>,
                "Dmd and its fake score must belong to the same process: schedule and prediction");
  using Options = DmdOptions;
  Options options{};
  Fake* fake = nullptr;
  Critic* critic = nullptr;
  Process process;

  Dmd(Process p, Fake* f, Options o = {}, Critic* c = nullptr)
      : options(std::move(o)), fake(f), critic(c), process(std::move(p)) {
    require<OptionError>(fake != nullptr, "Dmd without a fake score");
    if (options.start.empty()) options.start = {process.last()};
    process.require_signal(highest(process, options.start));
    require<OptionError>(options.learn_per_update >= 1, "Dmd: learn_per_update = ", options.learn_per_update);
    require_weight("Dmd", "regression_weight", options.regression_weight);
    require_weight("Dmd", "adversarial_weight", options.adversarial_weight);
    require<OptionError>(options.adversarial_weight == 0 || critic != nullptr, "Dmd: an adversarial weight of ",
                         options.adversarial_weight, " without a critic");
  }

  /// Start times and times of comparison of `batch` samples.
  [[nodiscard]] DmdDraws draw(std::int64_t batch, Randomness random) const {
    return {choose_times(options.start, batch, random.stream("dmd.start"), random.first_sample),
            diffusion::uniform_times(process, batch, random.stream("dmd.t"), random.first_sample, options.t_min,
                                     options.t_max)};
  }

  /// The student's clean data.
  template <class T, class D>
  struct Samples {
    Var<T, D> x;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher&, const Target&, const Batch<T, D, C>& batch,
                        Randomness random) const {
    return samples_at(student, batch, draw(batch.x0.dim(0), random).start,
                      diffusion::normals<T, D>(batch.x0.shape(), random, "dmd.z"));
  }
  /// The same for given start times and starting noise z [B, ...].
  template <class Student, class T, class D, class C>
  Samples<T, D> samples_at(const Student& student, const Batch<T, D, C>& batch, const diffusion::Times& start,
                           const Tensor<T, D>& z) const {
    return {few_step_samples(student, process, batch, start, z, options.start)};
  }

  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student& student, const Teacher& teacher,
                             const Target&, const Batch<T, D, C>& batch, Randomness random) const {
    return matched(samples.x, student, teacher, batch, draw(batch.x0.dim(0), random).t,
                   diffusion::normals<T, D>(batch.x0.shape(), random, "dmd.noise"));
  }
  /// The loss for given draws, starting noise z and noise of the comparison, both [B, ...].
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const DmdDraws& d, const Tensor<T, D>& z, const Tensor<T, D>& noise) const {
    return matched(samples_at(student, batch, d.start, z).x, student, teacher, batch, d.t, noise);
  }

  /// Trains the fake score, and the critic against data, on the samples. The fake score draws from `random`.
  template <class T, class D, class Student, class Teacher, class Target, class C, class Average>
  requires(LearningScore<Fake, T, D, C> ||
           LearningCritic<Critic, T, D, C>) void learn_from(const Samples<T, D>& samples, const Student&,
                                                            const Teacher&, const Target&, const Batch<T, D, C>& batch,
                                                            Randomness random, const Average& average) const {
    const Tensor<T, D> x = samples.x.value();
    if constexpr (LearningScore<Fake, T, D, C>)
      for (int i = 0; i < options.learn_per_update; ++i)
        fake->learn(x, batch.condition.conditional,
                    {random.seed, random.step * options.learn_per_update + i, random.first_sample}, average);
    if constexpr (LearningCritic<Critic, T, D, C>)
      if (options.adversarial_weight > 0)
        Adversarial<Critic>{critic, {}}.learn(x, batch.x0, where_clean(process, batch), average);
  }
  /// Fake score and critic, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    if constexpr (requires { fake->visit_state(f, prefix); }) fake->visit_state(f, prefix + "fake.");
    if constexpr (requires { critic->visit_state(f, prefix); })
      if (critic) critic->visit_state(f, prefix + "critic.");
  }

 private:
  /// The loss of samples x, noised to the times t for the scores.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> matched(const Var<T, D>& x, const Student& student, const Teacher& teacher,
                           const Batch<T, D, C>& batch, const diffusion::Times& t, const Tensor<T, D>& noise) const {
    const C& condition = batch.condition.conditional;
    const diffusion::Time first = highest(process, options.start);
    const auto x_t = diffusion::add_noise(process, x.value(), noise, t);
    const auto real = diffusion::predict_guided(process, teacher, x_t, t, batch.condition,
                                                std::vector<double>(t.size(), options.guidance));
    const auto own = diffusion::predict(process, *fake, x_t, t, condition);
    LossResult<T, D> out{inject_gradient(x, direction(x.value(), x_t, real, own, t)), {}};
    out.diagnostics.emplace_back("matching", out.loss.value());
    const auto add = [&](const char* name, double weight, const Var<T, D>& term) {
      out.diagnostics.emplace_back(name, term.value());
      out.loss = autograd::linear_combination(1, out.loss, static_cast<Accumulator<T>>(weight), term);
    };
    if (options.regression_weight > 0 && batch.noise.defined()) {
      add("regression", options.regression_weight,
          autograd::mse(one_step(student, process, batch.noise, diffusion::Times(t.size(), first), condition),
                        batch.x0));
    }
    if constexpr (!std::same_as<Critic, NoCritic>) {
      if (options.adversarial_weight > 0)
        add("adversarial", options.adversarial_weight,
            Adversarial<Critic>{critic, {}}(x, batch.x0, where_clean(process, batch)));
    }
    return out;
  }
  /// (x0_fake - x0_real) / mean |x - x0_real| of each sample, from the predictions at x_t. The difference is taken
  /// before it is brought to x0, where x_t would cancel. [Hyper-SD Eq. 8]
  template <class T, class D>
  Tensor<T, D> direction(const Tensor<T, D>& x, const Tensor<T, D>& x_t, const Tensor<T, D>& real,
                         const Tensor<T, D>& own, const diffusion::Times& t) const {
    const auto clean = diffusion::x0_of(process, x_t, real, t);
    std::vector<double> scales;
    for (const diffusion::Time one : t)
      scales.push_back((options.paper_alpha_weight ? process.alpha(one) : 1.0) * process.x0(one).prediction);
    const Numbers<T, D> w(Shape{x.dim(0)});
    ops::map_into(w, PerMeanDistance{static_cast<double>(x.size()) / static_cast<double>(x.dim(0))},
                  ops::sum_to_samples(ops::map(ops::Abs{}, ops::map(ops::Sub{}, x, clean))),
                  diffusion::sample_scales<T, D>(scales));
    return ops::map(ops::Mul{}, ops::map(ops::Sub{}, own, real), ops::per_sample(w));
  }
};

}  // namespace hypersd::distill
