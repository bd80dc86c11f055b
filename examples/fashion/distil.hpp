// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sample.hpp"

#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/nn/lora.hpp>

namespace fashion {

/// Student and EMA target of the distillation: the frozen teacher with one adapter each.
struct Student {
  Net net, target;
  optim::ParameterList<float> parameters, averages;
};

inline optim::ParameterList<float> adapter_of(Net& net) {
  optim::ParameterList<float> list;
  for (auto& p : nn::lora_parameters(net)) list.push_back({p.name, p.var});
  return list;
}

inline Student make_student(const Options& o, const Net& teacher) {
  Student s;
  s.net = teacher;
  nn::add_lora(s.net, nn::LoraOptions{.rank = o.rank}, o.seed);
  s.target = nn::deep_copy(s.net);
  nn::set_requires_grad(s.target, false);
  s.parameters = adapter_of(s.net);
  s.averages = adapter_of(s.target);
  return s;
}

/// Trains `student` through the stages: TSCD for segments 8, 4, 2, 1, or TCD for one stage with k = 1. `name` prefixes
/// the phases. Each stage resumes the adapter and the target of the stage before, with fresh optimiser moments.
inline void distil(const Run& run, const Dataset& dataset, const Latents& latents, const Teacher& teacher, Student& student,
                   const std::string& name, const std::vector<std::int64_t>& segments,
                   const std::vector<std::int64_t>& iterations) {
  const Options& o = run.options;
  const distill::ConsistencyOptions options{40, o.guidance_min, o.guidance_max, o.noise_offset, o.jump_exponent};
  const data::Batches batches(latents.values.dim(0), o.distill_batch, o.seed + 1);
  std::int64_t before = 0;
  for (std::size_t stage = 0; stage < segments.size(); ++stage) {
    const int k = static_cast<int>(segments[stage]);
    const distill::Consistency<distill::WithinSegments<>> tscd(diffusion::noise_table<diffusion::ScaledLinear>(), options, {}, {k});
    pipeline::TrainOptions t;
    t.phase = name + " k=" + std::to_string(k);
    t.steps = iterations[stage];
    t.adamw.weight_decay = 0;
    t.learning_rate = optim::FlatThenLinear{o.distill_lr, t.steps, 0.3};
    t.seed = o.seed;
    t.checkpoint = run.directory.checkpoint(t.phase);
    t.checkpoint_every = o.checkpoint_every;
    pipeline::Trainer<float> trainer(t, student.parameters);
    trainer.state().add("target.", student.averages);
    trainer.resume();
    run.run_trainer(trainer, [&](std::int64_t step) {
      // The target follows the student that the previous update left behind.
      if (step > 0 || stage > 0) optim::ema_update(student.averages, student.parameters, o.ema_target);
      const std::int64_t at = before + step;
      const auto ids = batches(at);
      const distill::Batch<float, Cpu, Condition> batch{
          take(latents.values, ids), condition_of(teacher.text, dataset.captions(dataset.images.train.labels(ids)))};
      return tscd.loss(student.net, teacher.unet, student.target, batch, {o.seed, at});
    });
    before += t.steps;
  }
}

}  // namespace fashion
