// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "counted.hpp"
#include "description.hpp"
#include "options.hpp"

#include <fashion/evaluate.hpp>
#include <fashion/shared.hpp>
#include <hypersd/diffusion/schedules/continuous_table.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/time_proposal.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/models/policy_network.hpp>
#include <hypersd/nn/models/two_time_transformer.hpp>
#include <hypersd/nn/models/two_time_unet.hpp>
#include <hypersd/pipeline/phase.hpp>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace compare {

template <Device D>
using Condition = fashion::Condition<D>;
template <Device D>
using Net = fashion::Net<D>;
template <Device D>
using Model = Counted<Net<D>>;
template <Device D>
using Batch = distill::Batch<float, D, Condition<D>>;
/// A network with a second time.
template <Device D>
using FlowMap = std::conditional_t<std::same_as<Net<D>, nn::Unet<float, D>>, nn::TwoTimeUnet<float, D>,
                                   nn::TwoTimeTransformer<Net<D>>>;
/// Whether a flow map takes guidance weights.
template <Device D>
inline constexpr bool can_be_told = std::same_as<FlowMap<D>, nn::TwoTimeUnet<float, D>>;
/// A network that gives a policy.
template <Device D>
using Policies = nn::PolicyNetwork<Net<D>>;
/// What training makes of the teacher.
template <Device D>
using Student = std::variant<Net<D>, FlowMap<D>, Policies<D>>;

/// The teacher's process in continuous time: itself, or its table between the entries.
using Continuous = std::conditional_t<
    fashion::Process::discrete,
    diffusion::Process<diffusion::ContinuousTable<diffusion::ScaledLinear>, fashion::Process::Prediction>,
    fashion::Process>;

/// One seed's world, shared by all methods.
template <Device D>
struct Seed {
  const StudyOptions& options;
  const fashion::Run& run;
  const fashion::Dataset& data;
  const fashion::Latents<D>& latents;
  const fashion::Teacher<D>& teacher;
  Settings settings = {};   ///< of the method at hand
  std::string varied = {};  ///< what was changed in them, for names of files: "rate=0.001"

  [[nodiscard]] std::uint64_t seed() const { return run.options.seed; }
  /// What distinguishes files of this guidance and setting from those of the defaults, which have no suffix.
  [[nodiscard]] std::string suffix() const { return suffix_of(run.options.guidance, varied); }
  /// A setting that the method has declared. Throws std::out_of_range otherwise.
  [[nodiscard]] double setting(const std::string& name) const { return settings.at(name); }
  /// Training batch of an iteration: the same for every method.
  [[nodiscard]] Batch<D> batch(std::int64_t iteration) const {
    const data::Batches batches(latents.values.dim(0), run.options.distill_batch, seed() + 1);
    const auto ids = batches(iteration);
    return {fashion::take(latents.values, ids),
            fashion::condition_of(teacher.text, data.captions(data.images.train.labels(ids)))};
  }
};

/// `options` of an objective that learns from the teacher, with the study's guidance.
template <class Options, Device D>
Options guided(const Seed<D>& s, Options options) {
  if constexpr (requires { options.source; }) options.source = decltype(options.source)::teacher;
  options.guidance_min = s.run.options.guidance_min;
  options.guidance_max = s.run.options.guidance_max;
  return options;
}

/// Training times of continuous time: uniform, as those of the table are.
inline constexpr distill::TimeProposal uniform{.kind = distill::TimeProposal::Kind::uniform};

/// How a method spends its budget: a stage for each k.
struct Plan {
  std::vector<int> stages = {1};
  /// Network evaluations for each sample of an iteration in stage k, in the units of `Evaluations::cost`.
  std::function<double(int k)> cost = [](int) { return 6.0; };
  double before = 0;            ///< evaluations spent before the first iteration
  bool every_guidance = false;  ///< trained once for all scales

  /// Those of stage k. The setting `last` is the share of the last stage; the others share the rest equally.
  template <Device D>
  [[nodiscard]] std::int64_t iterations(const Seed<D>& s, int k) const {
    const auto count = static_cast<double>(stages.size());
    const double last = s.settings.contains("last") ? s.setting("last") : 1 / count;
    require<OptionError>(last < 1 || count == 1, "--vary: last=", last, " leaves nothing for the other stages");
    const double share = k == stages.back() ? last : (1 - last) / (count - 1);
    const double samples = (1000 * s.options.budget - before) * share / cost(k);
    return std::max<std::int64_t>(4, std::llround(samples / static_cast<double>(s.run.options.distill_batch)));
  }
};

/// What training gives: the student after the last stage, and after each.
template <Device D>
struct Trained {
  Student<D> last;
  std::map<int, Student<D>> stages = {};
  double spent = 0;    ///< evaluations counted in this process
  double planned = 0;  ///< evaluations that the plan says
  std::int64_t iterations = 0;
};

/// The batches of a seed, the same for every method.
template <Device D>
struct SeedBatches {
  const Seed<D>& seed;
  Batch<D> operator()(std::int64_t iteration) const { return seed.batch(iteration); }
};

/// Trains an adapter on the teacher through the plan's stages; `objective_of(k, guided)` is the objective of one, where
/// a later stage of a method that follows its own students is not guided. `teacher` is the method's own handle: what it
/// has counted is the method's cost. The student begins as `start`. `N` is a network, a flow map or policies.
template <Device D, class N, class Batches, class ObjectiveOf>
Trained<D> train_stages(const Seed<D>& s, const std::string& name, const Plan& plan, const Counted<N>& teacher,
                        const Counted<N>& start, const Batches& batches, bool follow_previous,
                        ObjectiveOf&& objective_of) {
  const fashion::Options& o = s.run.options;
  Trained<D> out;
  pipeline::StageOptions options{.steps = {},
                                 .learning_rate = s.setting("rate"),
                                 .lora = {.rank = o.rank},
                                 .target_decay = s.settings.contains("decay") ? s.setting("decay") : slow_target,
                                 .follow_previous = follow_previous};
  for (const int k : plan.stages) {
    options.steps.push_back(plan.iterations(s, k));
    out.iterations += options.steps.back();
    out.planned += plan.cost(k) * static_cast<double>(options.steps.back() * o.distill_batch);
  }
  pipeline::RecipeState<Counted<N>> state{teacher, start};
  const std::string suffix = plan.every_guidance ? suffix_of(fashion::Options{}.guidance, s.varied) : s.suffix();
  const auto part = pipeline::staged(name + suffix, plan.stages, batches, options, objective_of);
  auto k = plan.stages.begin();
  pipeline::run_part(s.run.session(), part, state, [&](const std::string&, const auto& now) {
    out.last = nn::merge_lora(now.student).net;
    out.stages.insert_or_assign(*k++, out.last);
  });
  out.spent = teacher.count->cost();
  out.planned += plan.before;
  return out;
}
template <Device D, class N, class ObjectiveOf>
Trained<D> train_stages(const Seed<D>& s, const std::string& name, const Plan& plan, const Counted<N>& teacher,
                        bool follow_previous, ObjectiveOf&& objective_of) {
  return train_stages(s, name, plan, teacher, teacher, SeedBatches<D>{s}, follow_previous, objective_of);
}

/// An objective without networks of its own behind a function, so that the training loop is compiled once for all.
template <class N, Device D>
struct AnyObjective {
  std::function<distill::LossResult<float, D>(const N& student, const N& teacher, const N& target, const Batch<D>&,
                                              diffusion::Randomness)>
      loss;
  template <class Objective>
  explicit AnyObjective(Objective o)
      : loss([o = std::move(o)](const auto&... arguments) { return o.loss(arguments...); }) {}
};

}  // namespace compare
