// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/type_name.hpp>
#include <hypersd/diffusion/planned.hpp>
#include <hypersd/distill/stage.hpp>
#include <hypersd/io/json.hpp>
#include <hypersd/pipeline/session.hpp>
#include <hypersd/pipeline/tuning.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// \file
/// A phase of training as a value: which objective, on which data, what of the network it trains. Stages are a list of
/// phases; one function runs any of them.

namespace hypersd::pipeline {

/// What phases hand on.
template <nn::Module Net>
struct RecipeState {
  Net teacher;                                      ///< frozen
  Net student;                                      ///< the teacher with what has been trained so far
  std::vector<std::pair<std::string, Net>> made{};  ///< what each part left behind, by its name
  std::optional<Net> target{};                      ///< the average of the student, from the phase before

  /// Throws OptionError if no part of that name has run.
  [[nodiscard]] const Net& after(const std::string& part) const {
    for (const auto& [name, net] : made)
      if (name == part) return net;
    throw OptionError("recipe: no part called '" + part + "' has run");
  }
};

/// How long and how fast a phase trains.
struct PhaseOptions {
  std::int64_t steps = 240;
  double learning_rate = 1e-3;  ///< flat, then falling to 0 over the last `tail`
  double tail = 0.3;
  double weight_decay = 0;
  std::optional<optim::EmaOptions> ema{};  ///< the phase ends with the average of what it trains
  /// Decay of the target network, an average of the student that the objective compares with. Unset: the target is the
  /// student as it was before the phase.
  std::optional<double> target_decay{};
  bool follow_previous = false;      ///< the teacher is the student before the phase, in place of the original one
  std::int64_t first_iteration = 0;  ///< data and draws are counted from here
  bool capture = true;               ///< see `TrainOptions::capture`

  [[nodiscard]] TrainOptions train(std::string phase) const {
    TrainOptions t;
    t.phase = std::move(phase);
    t.steps = steps;
    t.learning_rate = optim::FlatThenLinear{learning_rate, steps, tail};
    t.adamw.weight_decay = weight_decay;
    t.ema = ema;
    t.capture = capture;
    return t;
  }
};

/// One phase: `objective` on `batches(iteration)`, training what `tuning` says.
template <class Objective, class Batches>
struct Phase {
  std::string name;
  Objective objective;
  Batches batches;
  Tuning tuning = SameAdapter{};
  PhaseOptions options{};

  [[nodiscard]] io::Json describe() const {
    return io::Json::Object{{"phase", name},
                            {"objective", type_name<Objective>()},
                            {"trains", pipeline::describe(tuning)},
                            {"steps", options.steps},
                            {"learning_rate", options.learning_rate},
                            {"teacher", options.follow_previous ? "previous stage" : "original"}};
  }
};

// Clang deduces the arguments of an aggregate from version 17 on.
template <class Objective, class Batches>
Phase(std::string, Objective, Batches, Tuning = SameAdapter{}, PhaseOptions = {}) -> Phase<Objective, Batches>;

/// Phases that make one model, in order. A branch is a model of its own: later parts go on from the student before it.
template <class Objective, class Batches>
struct Part {
  std::string name;
  std::vector<Phase<Objective, Batches>> phases;
  bool branch = false;

  [[nodiscard]] io::Json describe() const {
    io::Json::Array list;
    for (const auto& phase : phases) list.push_back(phase.describe());
    io::Json::Object out{{"part", name}, {"phases", std::move(list)}};
    if (branch) out.emplace_back("branch", true);
    return out;
  }
};

/// A part of one phase, which has its name.
template <class Objective, class Batches>
Part<Objective, Batches> part(Phase<Objective, Batches> phase, bool branch = false) {
  std::string name = phase.name;
  return {std::move(name), {std::move(phase)}, branch};
}

/// How the stages of a part train.
struct StageOptions {
  std::vector<std::int64_t> steps;  ///< of each stage
  double learning_rate = 1e-3;
  nn::LoraOptions lora{};        ///< the adapter that the first stage adds and the others continue
  double target_decay = 0.95;    ///< of the target network, which is kept from stage to stage
  bool follow_previous = false;  ///< the teacher of a later stage is the student before it
};

/// Stages of any objective, from many segments (or steps) k to few: `make(k, guided)` is the objective of one, with a
/// guided teacher or, where the student of the stage before is the teacher, one with guidance in its weights. Throws
/// OptionError unless the stages fall and each has its number of steps. [Hyper-SD Algorithm 1]
template <class Batches, class Make>
auto staged(std::string name, const std::vector<int>& stages, Batches batches, const StageOptions& o, Make&& make) {
  using Objective = decltype(make(1, true));
  require<OptionError>(o.steps.size() == stages.size(), "part '", name, "': ", o.steps.size(), " numbers of steps for ",
                       stages.size(), " stages");
  Part<Objective, Batches> out{name, {}, false};
  std::int64_t first = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (i > 0)
      require<OptionError>(stages[i] < stages[i - 1], "stages must go from more segments to fewer, but k = ", stages[i],
                           " follows k = ", stages[i - 1]);
    PhaseOptions options{.steps = o.steps[i], .learning_rate = o.learning_rate};
    options.target_decay = o.target_decay;
    options.follow_previous = o.follow_previous && i > 0;
    options.first_iteration = first;
    const std::string phase = stages.size() > 1 ? name + " k=" + std::to_string(stages[i]) : name;
    out.phases.push_back({phase, make(stages[i], !options.follow_previous), batches,
                          i == 0 ? Tuning(NewAdapter{o.lora}) : Tuning(SameAdapter{o.lora.name}), options});
    first += o.steps[i];
  }
  return out;
}

namespace detail {

/// The task of a phase: the same batch and the same draws for what the objective trains and for its loss.
template <class Net, class Objective, class Batches>
struct PhaseTask {
  using Parameters = optim::ParameterList<typename Net::value_type, typename Net::device_type>;
  using Batch = std::remove_cvref_t<decltype(std::declval<const Batches&>()(std::int64_t{}))>;
  static_assert(
      requires(const Objective& o, const Net& net, const Batch& batch) {
        o.loss(net, net, net, batch, diffusion::Randomness{}).loss;
      },
      "an objective has loss(student, teacher, target, batch, randomness) const, which returns a LossResult");

  const Session& session;
  const Phase<Objective, Batches>& phase;
  const Net &student, &teacher, &target;
  const Parameters &averages, &trained;  ///< of the target (none where it is frozen) and of the student
  static constexpr bool learns = diffusion::LearningObjective<Objective, Net, Net, Net, Batch>;
  static constexpr bool planned = diffusion::PlannedObjective<Objective, Net, Net, Net, Batch>;
  static constexpr bool capturable =
      planned && diffusion::is_held<Batch> && ops::launch::KernelDevice<typename Net::device_type>;
  using Samples =
      decltype(diffusion::student_samples(phase.objective, student, teacher, target, std::declval<const Batch&>(), {}));

  diffusion::Randomness random{};
  std::optional<Batch> batch{};
  std::optional<decltype(diffusion::plan_of<Net, Net, Net>(phase.objective, *batch, random))> plan{};
  std::optional<Samples> samples{};  ///< of the student, from `learn` to `loss`

  void prepare(std::int64_t step) {
    const std::int64_t iteration = phase.options.first_iteration + step;
    // The target follows the student that the previous update left behind.
    if (!averages.empty() && iteration > 0) optim::ema_update(averages, trained, *phase.options.target_decay);
    Batch now = phase.batches(iteration);
    random = session.randomness(iteration, now);
    // A captured step reads the tensors of the first.
    const auto keep = [this](auto& held, auto value) {
      if constexpr (capturable)
        if (phase.options.capture) return diffusion::hold(held, std::move(value));
      held.emplace(std::move(value));
    };
    if constexpr (planned) keep(plan, diffusion::plan_of<Net, Net, Net>(phase.objective, now, random));
    keep(batch, std::move(now));
  }
  Samples make_samples() const {
    if constexpr (planned)
      return phase.objective.samples_by(*plan, student, teacher, target, *batch);
    else
      return diffusion::student_samples(phase.objective, student, teacher, target, *batch, random);
  }
  template <class Average>
  requires learns void learn(const Average& average) {
    samples.emplace(make_samples());
    diffusion::learn_from(phase.objective, *samples, student, teacher, target, *batch, random, average);
  }
  auto loss() {
    if (!learns) samples.emplace(make_samples());
    const Samples made = *std::exchange(samples, std::nullopt);
    return diffusion::loss_from(phase.objective, made, student, teacher, target, *batch, random);
  }
};

}  // namespace detail

/// Stands for nothing to do after a phase.
struct NoCallback {
  template <class State>
  void operator()(const std::string&, const State&) const {}
};

/// Runs the phases of a part, each on what those before left behind: resumes its checkpoint, or only loads it if it is
/// finished. `done(phase, state)` is called after each. [Hyper-SD Algorithm 1]
template <nn::Module Net, class Objective, class Batches, class Done = NoCallback>
void run_part(const Session& session, const Part<Objective, Batches>& part, RecipeState<Net>& state, Done&& done = {}) {
  const Net start = state.student;
  state.target.reset();
  for (const auto& phase : part.phases) {
    const PhaseOptions& o = phase.options;
    const Net before = state.student;
    const Net teacher = o.follow_previous ? nn::merge_lora(before) : state.teacher;
    Net student = prepare(phase.tuning, before, session.seed);
    const auto parameters = optim::parameters_of(student);
    const bool averages_target = o.target_decay.has_value();
    // The target has what is trained, so that their parameters correspond: of its own, on the average so far.
    Net target = averages_target ? prepare(phase.tuning, state.target.value_or(before), session.seed) : before;
    const auto averages = averages_target ? optim::parameters_of(target) : decltype(parameters){};
    nn::set_requires_grad(target, false);

    Trainer<typename Net::value_type, typename Net::device_type> trainer(session.placed(o.train(phase.name)),
                                                                         parameters);
    if (averages_target) trainer.state().add("target.", averages);
    if constexpr (requires { phase.objective.visit_state([](const std::string&, const auto&) {}, std::string()); })
      trainer.state().add("", phase.objective);
    trainer.resume();
    detail::PhaseTask<Net, Objective, Batches> task{session, phase, student, teacher, target, averages, parameters};
    if (!trainer.finished())
      session.done(phase.name, o.steps, trainer.run(task, session.progress, session.hooks(phase.name, trainer.step())));
    trainer.release();

    nn::set_requires_grad(student, false);
    state.target = averages_target ? std::optional<Net>(std::move(target)) : std::nullopt;
    state.student = std::move(student);
    done(phase.name, state);
  }
  state.made.emplace_back(part.name, state.student);
  if (part.branch) state.student = start;
}

}  // namespace hypersd::pipeline
