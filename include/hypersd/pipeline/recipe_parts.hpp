// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <hypersd/core/type_name.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/ends.hpp>
#include <hypersd/pipeline/session.hpp>
#include <hypersd/pipeline/stage_runner.hpp>
#include <hypersd/pipeline/tuning.hpp>
#include <nlohmann/json.hpp>

/// \file
/// The parts of a recipe. A part is a value with `name`, `describe()` and `run(session, state)`; see `Recipe`.

namespace hypersd::pipeline {

/// What the parts of a recipe hand on.
template <nn::Module Net>
struct RecipeState {
  Net teacher;                                      ///< frozen
  Net student;                                      ///< the teacher with what has been trained so far
  std::vector<std::pair<std::string, Net>> made{};  ///< what each part left behind, by its name

  /// Throws OptionError if no part of that name has run.
  [[nodiscard]] const Net& after(const std::string& part) const {
    for (const auto& [name, net] : made)
      if (name == part) return net;
    throw OptionError("recipe: no part called '" + part + "' has run");
  }
};

/// How long and how fast a part trains.
struct PartOptions {
  std::int64_t steps = 240;
  double learning_rate = 1e-3;  ///< flat, then falling to 0 over the last `tail`
  double tail = 0.3;
  double weight_decay = 0;
  std::optional<optim::EmaOptions> ema{};  ///< the part ends with the average of what it trains

  [[nodiscard]] TrainOptions train(std::string phase) const {
    TrainOptions t;
    t.phase = std::move(phase);
    t.steps = steps;
    t.learning_rate = optim::FlatThenLinear{learning_rate, steps, tail};
    t.adamw.weight_decay = weight_decay;
    t.ema = ema;
    return t;
  }
  [[nodiscard]] nlohmann::json describe() const { return {{"steps", steps}, {"learning_rate", learning_rate}}; }
};

/// Adds state that a part's loss changes (a critic, a fake score) to its checkpoints.
using ExtendState = std::function<void(State&)>;

/// Trajectory segmented consistency distillation through the stages k of `Stages`. [Hyper-SD Eq. 11, 12, Algorithm 1]
/// `Metric` is the distance, made anew for each k; `Batches` gives the batch of an iteration counted through the
/// stages. `As` makes something else of the objective, `distill::KeepGuidance` say.
template <class Batches, class Stages = distill::HyperSdStages, class Metric = distill::Mse,
          distill::TeacherPolicy Policy = distill::OriginalTeacher,
          diffusion::DiffusionProcess Process = diffusion::Discrete<>,
          distill::SegmentRule Rule = distill::TrailingBoundary, template <class> class As = std::type_identity_t>
struct TscdStages {
  using Objective = As<distill::Consistency<distill::WithinSegments<Rule>, Process, Metric>>;
  /// Whether a student's guidance is in its weights.
  static constexpr bool absorbs_guidance = !requires { Objective::keeps_guidance; };

  std::string name = "tscd";
  Batches batches;
  Process process;
  distill::ConsistencyOptions consistency{};
  std::vector<std::int64_t> steps = std::vector<std::int64_t>(Stages::size, 240);  ///< of each stage
  double learning_rate = 1e-3;
  nn::LoraOptions lora{};
  double ema_target = 0.95;
  std::function<Metric(int k)> metric = [](int) { return Metric{}; };
  std::vector<int> segments = Stages::segments();
  ExtendState extend{};

  [[nodiscard]] nlohmann::json describe() const {
    nlohmann::json out{{"stages", segments},
                       {"steps", steps},
                       {"learning_rate", learning_rate},
                       {"distance", type_name<Metric>()},
                       {"teacher", Policy::previous_stage ? "previous stage" : "original"},
                       {"adapter", lora.name},
                       {"rank", lora.rank}};
    if (!absorbs_guidance) out["guidance"] = "kept";
    return out;
  }
  template <nn::Module Net>
  void run(const Session& session, RecipeState<Net>& state) const {
    require<OptionError>(steps.size() == segments.size(), "recipe part '", name, "': ", steps.size(),
                         " numbers of steps for ", segments.size(), " stages");
    StageRunner<Policy, Net> runner(state.teacher, lora, session.seed, ema_target);
    std::size_t stage = 0;
    const auto options = [&](int k) {
      const PartOptions part{steps[stage++], learning_rate};
      return session.placed(part.train(name + " k=" + std::to_string(k)));
    };
    const auto train = [&](auto& trainer, auto&& step) { session.finish(trainer, step); };
    const auto grow = [&](int, auto& trainer) {
      if (extend) extend(trainer.state());
    };
    runner.run(
        segments, options, train,
        [&](const StageStep<Net>& step) {
          auto c = consistency;
          // A student of the stage before has guidance in its weights.
          if (absorbs_guidance && !step.guided) c.guidance_min = c.guidance_max = 1;
          const Objective objective(process, c, metric(step.k), distill::WithinSegments<Rule>{step.k});
          const auto batch = batches(step.iteration);
          return objective.loss(step.student, step.teacher, step.target, batch,
                                session.randomness(step.iteration, batch));
        },
        grow);
    state.student = runner.student();
  }
};

/// One objective on the student as it stands: the form of all later parts. `How` says what is trained. The objective's
/// target network is the student before this part, frozen.
template <class How, class Objective, class Batches>
struct Tune {
  std::string name;
  Objective objective;
  Batches batches;
  PartOptions options{};
  How how{};
  bool branch = false;  ///< a model of its own: later parts go on from the student before it
  ExtendState extend{};

  [[nodiscard]] nlohmann::json describe() const {
    auto out = options.describe();
    out["objective"] = type_name<Objective>();
    out["trains"] = how.describe();
    if (branch) out["branch"] = true;
    return out;
  }
  template <nn::Module Net>
  requires Tuning<How, Net>
  void run(const Session& session, RecipeState<Net>& state) const {
    Net student = how.prepare(state.student, session.seed);
    Trainer<typename Net::value_type, typename Net::device_type> trainer(session.placed(options.train(name)),
                                                                         how.parameters(student));
    if (extend) extend(trainer.state());
    trainer.resume();
    session.finish(trainer, [&](std::int64_t step) {
      const auto batch = batches(step);
      return objective.loss(student, state.teacher, state.student, batch, session.randomness(step, batch));
    });
    nn::set_requires_grad(student, false);
    if (branch)
      state.made.emplace_back(name, student);
    else
      state.student = std::move(student);
  }
};

/// Feedback learning (Sec. 3.2, Eq 13-15): an adapter of its own on the frozen student.
template <class Objective, class Batches>
using Feedback = Tune<NewAdapter, Objective, Batches>;

/// One-step enhancement (Sec. 3.3, Eq 8): goes on with the student's adapter (the unified LoRA), or with all weights.
template <class Objective, class Batches, class How = SameAdapter>
using OneStep = Tune<How, Objective, Batches>;

}  // namespace hypersd::pipeline
