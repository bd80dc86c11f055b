// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/backward_simulation.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/divergence.hpp>
#include <hypersd/distill/inject_gradient.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/one_step.hpp>
#include <hypersd/distill/plan.hpp>
#include <string>

namespace hypersd::distill {

/// Settings of distribution matching distillation.
struct DmdOptions {
  /// Times at which the student's evaluation may begin; empty: the table's last. The highest begins in pure noise, so
  /// {800} is a one-step student with the time input 800; the others begin in noised data.
  diffusion::Times start = {};
  /// Backward simulation (DMD2): the others begin in what the student itself makes on the way there from noise, one
  /// evaluation without gradient for each different start time but the lowest.
  bool simulate = false;
  double guidance = 2;                ///< of the teacher's score (g form); the fake score is never guided
  double t_min = 0.02, t_max = 0.98;  ///< range of the times at which the scores are compared, shares of the process
  bool paper_alpha_weight = false;    ///< keep the factor alpha_t that published code drops
  int learn_per_update = 1;           ///< updates of the fake score for one of the student (DMD2: 5 to 10)
  double regression_weight = 0.25;    ///< of the MSE to paired end points, where the batch has them
  double adversarial_weight = 0;      ///< of the critic's loss on the samples (DMD2)
  /// The critic judges the samples and the data noised to the time of the comparison, and is told that time (DMD2).
  bool judge_noised = false;
  /// Another than the reverse KL divergence needs a critic of noised samples: its mean logit is taken for the logarithm
  /// of the ratio of densities there. Weights have the mean 1 in a batch.
  Divergence divergence = Divergence::reverse_kl;
  double ratio_low = 0.1, ratio_high = 20;  ///< bounds of that ratio
};

/// A score of the student's own distribution that is trained on its samples.
template <class F, class T, class D, class C>
concept LearningScore = requires(F& fake, const Tensor<T, D>& x, const C& c) {
  fake.learn(x, c, Randomness{}, OwnGradients{});
};

/// One whose updates are planned: `plan(shape, randomness)`, then `learn_by(plan, x, condition, average)`.
template <class F>
concept PlannedScore = requires(const F& fake, const Shape& shape) {
  fake.plan(shape, Randomness{});
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
/// plus a regression on paired data and, as DMD2 has it, a critic, of clean samples, of which it is told the first
/// time, or of noised ones. `learn` trains the fake score and the critic on the samples of the same draws, in all
/// `learn_per_update` updates (DMD2 draws fresh ones for each), and the critic once. With another `divergence` g is
/// multiplied with a weight of each sample (f-distill). [Hyper-SD Eq. 8]
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
    require<OptionError>(options.divergence == Divergence::reverse_kl || (critic != nullptr && options.judge_noised),
                         "Dmd: another than the reverse KL divergence needs a critic with judge_noised");
    require<OptionError>(0 < options.ratio_low && options.ratio_low <= options.ratio_high,
                         "Dmd: ratio_low = ", options.ratio_low, ", ratio_high = ", options.ratio_high);
  }

  /// Start times and times of comparison of `batch` samples.
  [[nodiscard]] DmdDraws draw(std::int64_t batch, Randomness random) const {
    return {choose_times(options.start, batch, random.stream("dmd.start"), random.first_sample),
            diffusion::uniform_times(process, batch, random.stream("dmd.t"), random.first_sample, options.t_min,
                                     options.t_max)};
  }

  /// Starting noise and noise of the comparison of one iteration, numbers, and what the fake score's updates draw.
  template <class T, class D>
  struct Plan : SamplePlan<T, D> {
    Tensor<T, D> compared;
    std::vector<SamplePlan<T, D>> path{};  ///< of the backward simulation
    std::vector<SamplePlan<T, D>> updates{};

    void copy_from(const Plan& other) const {
      SamplePlan<T, D>::copy_from(other);
      compared.copy_from(other.compared);
      for (std::size_t i = 0; i < path.size(); ++i) path[i].copy_from(other.path[i]);
      for (std::size_t i = 0; i < updates.size(); ++i) updates[i].copy_from(other.updates[i]);
    }
  };
  /// The plan of an iteration on data of `shape` [B, ...].
  template <class T, class D>
  requires PlannedScore<Fake> Plan<T, D> plan(const Shape& shape, Randomness random)
  const {
    auto out = drawn<T, D>(shape, random);
    for (int i = 0; i < options.learn_per_update; ++i) out.updates.push_back(fake->plan(shape, of_update(random, i)));
    return out;
  }

  /// The student's clean data.
  template <class T, class D>
  struct Samples {
    Var<T, D> x;
    Plan<T, D> plan;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return samples_by(drawn<T, D>(batch.x0.shape(), random), student, teacher, target, batch);
  }
  /// The same for a plan.
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D> samples_by(const Plan<T, D>& plan, const Student& student, const Teacher&, const Target&,
                           const Batch<T, D, C>& batch) const {
    const C& condition = batch.condition.conditional;
    const Var<T, D> begin(
        simulate(process, student, diffusion::combine(plan.form(start), batch.x0, plan.noise), plan.path, condition));
    return {clean_data(student, begin, plan, start_time, condition), plan};
  }

  template <class T, class D, class Student, class Teacher, class Target, class C>
  LossResult<T, D> loss_from(const Samples<T, D>& samples, const Student& student, const Teacher& teacher,
                             const Target&, const Batch<T, D, C>& batch, Randomness) const {
    return matched(samples.x, student, teacher, batch, samples.plan);
  }
  /// The loss for given draws, starting noise z and noise of the comparison, both [B, ...], and with `simulate` the
  /// noise of each step.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Batch<T, D, C>& batch,
                           const DmdDraws& d, const Tensor<T, D>& z, const Tensor<T, D>& noise,
                           std::vector<Tensor<T, D>> path = {}) const {
    return loss_from(samples_by(planned(d, z, noise, std::move(path)), student, teacher, teacher, batch), student,
                     teacher, teacher, batch, {});
  }

  /// Trains the fake score, and the critic against data, on the samples. The fake score draws from `random`.
  template <class T, class D, class Student, class Teacher, class Target, class C, class Average>
  requires(LearningScore<Fake, T, D, C> ||
           LearningCritic<Critic, T, D, C>) void learn_from(const Samples<T, D>& samples, const Student&,
                                                            const Teacher&, const Target&, const Batch<T, D, C>& batch,
                                                            Randomness random, const Average& average) const {
    const Tensor<T, D> x = samples.x.value();
    const C& condition = batch.condition.conditional;
    for (const auto& update : samples.plan.updates)
      if constexpr (PlannedScore<Fake>) fake->learn_by(update, x, condition, average);
    if constexpr (LearningScore<Fake, T, D, C>)
      if (samples.plan.updates.empty())
        for (int i = 0; i < options.learn_per_update; ++i) fake->learn(x, condition, of_update(random, i), average);
    if constexpr (LearningCritic<Critic, T, D, C>)
      if (options.adversarial_weight > 0 || options.divergence != Divergence::reverse_kl) {
        const Adversarial<Critic> adversarial{critic, {}};
        const auto& plan = samples.plan;
        if (options.judge_noised)
          adversarial.learn(noised_at(plan, x), noised_at(plan, batch.x0), at_noise(plan, condition), average);
        else
          adversarial.learn(x, batch.x0, at_data(plan, condition), average);
      }
  }
  /// Fake score and critic, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    if constexpr (requires { fake->visit_state(f, prefix); }) fake->visit_state(f, prefix + "fake.");
    if constexpr (requires { critic->visit_state(f, prefix); })
      if (critic) critic->visit_state(f, prefix + "critic.");
  }

 private:
  /// Rows of a plan. After a time, what a network is given there, comes its clean data as x and prediction.
  enum Row : int {
    start = 0,         // data and starting noise where the student's evaluation begins
    start_time = 2,    // there
    noised = 6,        // the student's data and noise in x_t
    time = 8,          // of the comparison
    pull = 12,         // what the difference of predictions is multiplied with
    guidance = 13,     // of the teacher's branches
    paired_time = 15,  // where paired noise begins
    data_time = 19     // what a critic is told of clean data
  };
  template <class T, class D>
  Plan<T, D> planned(const DmdDraws& d, Tensor<T, D> z, Tensor<T, D> noise, std::vector<Tensor<T, D>> path) const {
    const diffusion::Time first = highest(process, options.start);
    const diffusion::GuidanceWeights weights = diffusion::guidance_weights(options.guidance);
    return {sample_plan(std::move(z),
                        [&](std::size_t b) {
                          const diffusion::Time at = d.start[b], t = d.t[b];
                          const diffusion::Form begin = start_form(process, options.simulate ? first : at, first),
                                                x0_at = process.x0(at), x0_t = process.x0(t),
                                                x0_first = process.x0(first);
                          const diffusion::Level l = process.level(t);
                          return std::array{begin.x,
                                            begin.prediction,
                                            process.network_time(at),
                                            process.input_scale(at),
                                            x0_at.x,
                                            x0_at.prediction,
                                            l.alpha,
                                            l.sigma,
                                            process.network_time(t),
                                            process.input_scale(t),
                                            x0_t.x,
                                            x0_t.prediction,
                                            (options.paper_alpha_weight ? l.alpha : 1.0) * x0_t.prediction,
                                            weights.conditional,
                                            weights.unconditional,
                                            process.network_time(first),
                                            process.input_scale(first),
                                            x0_first.x,
                                            x0_first.prediction,
                                            process.network_time(process.first())};
                        }),
            std::move(noise),
            options.simulate ? simulation_plan(process, options.start, d.start, std::move(path))
                             : std::vector<SamplePlan<T, D>>{}};
  }
  template <class T, class D>
  Plan<T, D> drawn(const Shape& shape, Randomness random) const {
    std::vector<Tensor<T, D>> path;
    for (std::size_t i = 1; options.simulate && i < descending(options.start).size(); ++i)
      path.push_back(diffusion::normals<T, D>(shape, random, "dmd.step" + std::to_string(i)));
    return planned(draw(shape[0], random), diffusion::normals<T, D>(shape, random, "dmd.z"),
                   diffusion::normals<T, D>(shape, random, "dmd.noise"), std::move(path));
  }
  /// Randomness of update i of the fake score.
  [[nodiscard]] Randomness of_update(Randomness random, int i) const {
    return {random.seed, random.step * options.learn_per_update + i, random.first_sample};
  }
  /// The student's clean data from one evaluation at x and the time in row `at`.
  template <class Student, class T, class D, class C>
  Var<T, D> clean_data(const Student& student, const Var<T, D>& x, const Plan<T, D>& plan, Row at,
                       const C& condition) const {
    const auto f = diffusion::evaluate(process, student, x, plan.template times<Process>(at), condition);
    return diffusion::combine(plan.form(at + 2), x, f);
  }
  template <class T, class D, class C>
  Where<T, D, C> at_data(const Plan<T, D>& plan, const C& condition) const {
    return {plan.row(data_time), condition, {}};
  }
  template <class T, class D, class C>
  Where<T, D, C> at_noise(const Plan<T, D>& plan, const C& condition) const {
    return {plan.row(time), condition, {}};
  }
  /// x at the time of the comparison.
  template <class T, class D>
  Tensor<T, D> noised_at(const Plan<T, D>& plan, const Tensor<T, D>& x) const {
    return diffusion::combine(plan.form(noised), x, plan.compared);
  }

  /// The loss of samples x.
  template <class Student, class Teacher, class T, class D, class C>
  LossResult<T, D> matched(const Var<T, D>& x, const Student& student, const Teacher& teacher,
                           const Batch<T, D, C>& batch, const Plan<T, D>& plan) const {
    const C& condition = batch.condition.conditional;
    const auto t = plan.template times<Process>(time);
    const auto x_t = noised_at(plan, x.value());
    const auto real = diffusion::predict_guided(process, teacher, x_t, t, batch.condition,
                                                {plan.row(guidance), plan.row(guidance + 1)}, options.guidance > 1);
    const auto own = diffusion::predict(process, *fake, x_t, t, condition);
    auto g = direction(x.value(), x_t, real, own, plan);
    if constexpr (!std::same_as<Critic, NoCritic>)
      if (options.divergence != Divergence::reverse_kl)
        g = ops::map(ops::Mul{}, g, ops::per_sample(divergence_weights(x_t, plan, condition)));
    LossResult<T, D> out{inject_gradient(x, g), {}};
    out.diagnostics.emplace_back("matching", out.loss.value());
    const auto add = [&](const char* name, double weight, const Var<T, D>& term) {
      out.diagnostics.emplace_back(name, term.value());
      out.loss = autograd::linear_combination(1, out.loss, static_cast<Accumulator<T>>(weight), term);
    };
    if (options.regression_weight > 0 && batch.noise.defined())
      add("regression", options.regression_weight,
          autograd::mse(clean_data(student, Var<T, D>(batch.noise), plan, paired_time, condition), batch.x0));
    if constexpr (!std::same_as<Critic, NoCritic>) {
      const Adversarial<Critic> adversarial{critic, {}};
      if (options.adversarial_weight > 0 && options.judge_noised)
        add("adversarial", options.adversarial_weight,
            adversarial(diffusion::combine(plan.form(noised), x, Var<T, D>(plan.compared)), batch.x0,
                        at_noise(plan, condition)));
      else if (options.adversarial_weight > 0)
        add("adversarial", options.adversarial_weight, adversarial(x, batch.x0, at_data(plan, condition)));
    }
    return out;
  }
  /// h of each sample divided by their mean.
  template <class T, class D, class C>
  Numbers<T, D> divergence_weights(const Tensor<T, D>& x_t, const Plan<T, D>& plan, const C& condition) const {
    const autograd::NoGrad guard;
    const Tensor<T, D> logits = (*critic)(Var<T, D>(x_t), plan.row(time), condition).value();
    const double batch = static_cast<double>(logits.dim(0));
    const Numbers<T, D> h(Shape{logits.dim(0)});
    ops::map_into(h,
                  DivergenceWeight{options.divergence, options.ratio_low, options.ratio_high,
                                   static_cast<double>(logits.size()) / batch},
                  ops::sum_to_samples(logits));
    return ops::map(OverMean{batch}, h, ops::everywhere(ops::sum(h)));
  }
  /// (x0_fake - x0_real) / mean |x - x0_real| of each sample, from the predictions at x_t. The difference is taken
  /// before it is brought to x0, where x_t would cancel. [Hyper-SD Eq. 8]
  template <class T, class D>
  Tensor<T, D> direction(const Tensor<T, D>& x, const Tensor<T, D>& x_t, const Tensor<T, D>& real,
                         const Tensor<T, D>& own, const Plan<T, D>& plan) const {
    const auto clean = diffusion::combine(plan.form(time + 2), x_t, real);
    const Numbers<T, D> w(Shape{x.dim(0)});
    ops::map_into(w, PerMeanDistance{static_cast<double>(x.size()) / static_cast<double>(x.dim(0))},
                  ops::sum_to_samples(ops::map(ops::Abs{}, ops::map(ops::Sub{}, x, clean))), plan.row(pull));
    return ops::map(ops::Mul{}, ops::map(ops::Sub{}, own, real), ops::per_sample(w));
  }
};

}  // namespace hypersd::distill
