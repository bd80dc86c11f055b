// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/stage.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/parameters.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::pipeline {

/// What the loss of one iteration may use.
template <class Net>
struct StageStep {
  int k = 1;                   ///< segments of the stage
  std::int64_t iteration = 0;  ///< counted through all stages
  const Net& student;          ///< trained
  const Net& teacher;          ///< whose trajectories are followed
  const Net& target;           ///< average of the student
  bool guided = true;  ///< whether the teacher's step needs guidance; false if guidance is in its weights already
};

/// Algorithm 1: one adapter on a frozen network, trained stage by stage from many segments to few, with its average as
/// target. A stage resumes the adapter and the target of the stage before, with fresh optimiser moments.
/// `Policy` says whose trajectories the stages after the first follow.
template <distill::TeacherPolicy Policy, nn::Module Net>
class StageRunner {
  using T = typename Net::value_type;
  using D = typename Net::device_type;

 public:
  /// `teacher` gets no adapter; its weights are shared and frozen. Throws what `nn::add_lora` throws.
  StageRunner(const Net& teacher, const nn::LoraOptions& lora, std::uint64_t seed, double ema_target = 0.95)
      : teacher_(teacher), student_(teacher), ema_target_(ema_target) {
    nn::set_requires_grad(teacher_, false);
    nn::add_lora(student_, lora, seed);
    target_ = nn::deep_copy(student_);
    nn::set_requires_grad(target_, false);
    parameters_ = optim::parameter_list(nn::lora_parameters(student_, lora.name));
    averages_ = optim::parameter_list(nn::lora_parameters(target_, lora.name));
  }

  [[nodiscard]] const Net& student() const { return student_; }
  [[nodiscard]] const Net& target() const { return target_; }
  [[nodiscard]] const optim::ParameterList<T, D>& parameters() const { return parameters_; }

  /// Runs all stages in order. `options(k)` gives a stage's training options: phase, steps, learning rate, checkpoint
  /// (a finished stage only loads its own). Throws OptionError unless the segments fall. `train(trainer, step)` runs
  /// one stage's loop, normally `trainer.run(step, ...)`. `loss(StageStep)` computes the loss of an iteration;
  /// `extend(k, trainer)`, if given, adds state that the loss changes (a critic) to the stage's checkpoints.
  template <class OptionsOf, class Train, class Loss>
  void run(const std::vector<int>& segments, OptionsOf&& options, Train&& train, Loss&& loss) {
    run(segments, options, train, loss, [](int, Trainer<T, D>&) {});
  }
  template <class OptionsOf, class Train, class Loss, class Extend>
  void run(const std::vector<int>& segments, OptionsOf&& options, Train&& train, Loss&& loss, Extend&& extend) {
    for (std::size_t i = 1; i < segments.size(); ++i)
      require<OptionError>(segments[i] < segments[i - 1],
                           "stages must go from more segments to fewer, but k = ", segments[i],
                           " follows k = ", segments[i - 1]);
    std::int64_t before = 0;
    for (std::size_t stage = 0; stage < segments.size(); ++stage) {
      const int k = segments[stage];
      const bool previous = Policy::previous_stage && stage > 0;
      // What the stage before ended with; a snapshot, because the adapter goes on training.
      const Net followed = previous ? nn::merge_lora(student_) : teacher_;
      Trainer<T, D> trainer(options(k), parameters_);
      trainer.state().add("target.", averages_);
      extend(k, trainer);
      trainer.resume();
      train(trainer, [&](std::int64_t step) {
        // The target follows the student that the previous update left behind.
        if (step > 0 || stage > 0) optim::ema_update(averages_, parameters_, ema_target_);
        return loss(StageStep<Net>{k, before + step, student_, followed, target_, !previous});
      });
      before += trainer.options().steps;
    }
  }

 private:
  Net teacher_, student_, target_;
  double ema_target_;
  optim::ParameterList<T, D> parameters_, averages_;
};

}  // namespace hypersd::pipeline
