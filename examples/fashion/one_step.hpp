// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "distil.hpp"
#include "pairs.hpp"

#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/sum.hpp>

/// \file
/// One-step enhancement: distribution matching with regression on the teacher's end points, which keeps the student's
/// later steps (the unified adapter) or not (the dedicated model at t = 800). [Hyper-SD Sec. 3.3, Eq. 8]

namespace fashion {

template <Device D>
using Fake = distill::FakeScore<Net<D>, Process>;

/// The teacher's pairs, kept in the run's folder.
template <Device D>
Pairs<D> teacher_pairs(const Run& run, const Dataset& dataset, const Teacher<D>& teacher) {
  const std::string path = run.directory.file("state/pairs.safetensors");
  Pairs<D> pairs{{dataset, run.options.pairs, run.options.seed, "pairs"}, {}};
  if (run.directory.done("pairs")) {
    pairs.ends = io::SafetensorsFile(path).template get<float>("ends").template to<D>();
    return pairs;
  }
  pairs.draw(teacher.unet, teacher.text, run.options.guidance, run.progress);
  io::SafetensorsWriter writer;
  writer.add("ends", pairs.ends.template to<Cpu>());
  writer.write(path);
  run.directory.mark_done("pairs");
  return pairs;
}

/// The pairs as batches.
template <Device D>
struct PairBatches {
  const Pairs<D>& pairs;
  const nn::TextEncoder<float, D>& text;
  data::Batches order;

  PairBatches(const Run& run, const Pairs<D>& p, const nn::TextEncoder<float, D>& t)
      : pairs(p),
        text(t),
        order(p.ends.dim(0), std::min(run.options.distill_batch, p.ends.dim(0)), run.options.seed + 2) {}
  Batch<D> operator()(std::int64_t iteration) const { return {pairs.batch(text, order(iteration)), {}}; }
};

template <Device D>
Fake<D> make_fake(const Teacher<D>& teacher, double learning_rate) {
  return Fake<D>(nn::deep_copy(teacher.unet), Process{}, learning_rate);
}

/// The unified adapter: Eq 8 from pure noise at the last time, the student's own jumps everywhere else.
template <Device D>
auto unified_part(const Run& run, const PairBatches<D>& batches, Fake<D>& fake) {
  using distill::weighted;
  const Options& o = run.options;
  const distill::DmdOptions dmd{.guidance = o.guidance, .regression_weight = o.regression_weight};
  const auto objective = distill::sum_of(
      weighted(1, distill::Dmd<Fake<D>, Process>(Process{}, &fake, dmd)),
      weighted(o.preserve_weight, distill::Preserve<distill::Anywhere, Process>(Process{}), "preserve"));
  return pipeline::part(pipeline::Phase{"one-step",
                                        objective,
                                        batches,
                                        pipeline::SameAdapter{},
                                        {.steps = o.unified_steps, .learning_rate = o.unified_lr}});
}

/// Eq 8 alone, for a model that takes one step from the time input `time`. A branch.
template <Device D>
auto dmd_part(const Run& run, const PairBatches<D>& batches, Fake<D>& fake, const std::string& name,
              pipeline::Tuning tuning, diffusion::Time time, double learning_rate) {
  const Options& o = run.options;
  const distill::Dmd<Fake<D>, Process> objective(
      Process{}, &fake, {.start = {time}, .guidance = o.guidance, .regression_weight = o.regression_weight});
  return pipeline::part(
      pipeline::Phase{name, objective, batches, tuning, {.steps = o.one_step_steps, .learning_rate = learning_rate}},
      /*branch=*/true);
}

/// The same from the teacher instead of the TSCD student, for comparison.
template <Device D>
Net<D> dmd_from_teacher(const Run& run, const Dataset& dataset, const Teacher<D>& teacher, diffusion::Time time) {
  const Pairs<D> pairs = teacher_pairs(run, dataset, teacher);
  Fake<D> fake = make_fake(teacher, run.options.one_step_lr);
  State<D> state{teacher.unet, teacher.unet};
  const pipeline::NewAdapter fresh{{.rank = run.options.rank}};
  const std::string name = "dmd of the teacher, t = " + io::number(time);
  pipeline::run_part(
      run.session(),
      dmd_part(run, PairBatches<D>(run, pairs, teacher.text), fake, name, fresh, time, run.options.one_step_lr), state);
  return state.after(name);
}

}  // namespace fashion
