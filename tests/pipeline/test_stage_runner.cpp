// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/stage_runner.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/distill/objectives/tscd.hpp>

#include "folder.hpp"
#include "toy_denoiser.hpp"

using namespace hypersd;
using distill::OriginalTeacher;
using distill::PreviousStageTeacher;

namespace {

using Net = toy::Denoiser;
using Step = pipeline::StageStep<Net>;
using Data = distill::Batch<double, Cpu, diffusion::Unconditional>;

const std::vector<int> all{8, 4, 2, 1};

template <class Policy>
struct Toy {
  const Folder* folder = nullptr;  // where checkpoints go; none without
  std::int64_t steps = 150;
  std::uint64_t seed = 0;
  std::function<bool(int k, std::int64_t step)> stop{};
  std::function<void(const Step&)> watch{};
  pipeline::StageRunner<Policy, Net> runner{toy::teacher(), {.rank = 16}, seed};

  void run(const std::vector<int>& segments) {
    const auto options = [&](int k) {
      pipeline::TrainOptions t;
      t.phase = "k=" + std::to_string(k);
      t.steps = steps;
      t.adamw.weight_decay = 0;
      t.learning_rate = optim::FlatThenLinear{3e-3, steps, 0.3};
      t.seed = seed;
      t.checkpoint_every = 20;
      if (folder) t.checkpoint = folder->file(std::to_string(k) + ".safetensors");
      return t;
    };
    struct Stopped {};
    const auto train = [&](pipeline::Trainer<double>& trainer, auto&& step) {
      pipeline::Hooks hooks;
      const int k = std::stoi(trainer.options().phase.substr(2));
      if (stop)
        hooks.after_step = [&, k](std::int64_t n) {
          if (stop(k, n)) throw Stopped{};
        };
      trainer.run(step, {}, hooks);
    };
    const auto loss = [&](const Step& step) {
      if (watch) watch(step);
      const distill::Consistency<distill::WithinSegments<>> tscd(toy::table(), {}, {}, {step.k});
      const Data batch{toy::exact().data<double>(64, stream(seed, "data", static_cast<std::uint64_t>(step.iteration))),
                       {}};
      return tscd.loss(step.student, step.teacher, step.target, batch, {seed, step.iteration});
    };
    try {
      runner.run(segments, options, train, loss);
    } catch (const Stopped&) {
    }
  }
  [[nodiscard]] std::vector<double> weights() const {
    std::vector<double> out;
    for (const auto& p : runner.parameters())
      for (const double v : p.var.value().span()) out.push_back(v);
    return out;
  }
};

/// Mean distance of end points from those of the teacher's own 40 grid steps, from the same noise.
double trajectory_error(const Net& net, int steps) {
  const diffusion::Sampler<diffusion::Ddim, diffusion::StableDiffusion> sampler;
  const auto noise = ops::normal<double>(Shape{512, 2}, stream(99, "evaluation"));
  const auto goal = sampler(toy::teacher(), noise, diffusion::Unconditional{}, 40);
  const auto got = sampler(net, noise, diffusion::Unconditional{}, steps);
  double sum = 0;
  for (std::int64_t b = 0; b < 512; ++b) sum += std::hypot(got[2 * b] - goal[2 * b], got[2 * b + 1] - goal[2 * b + 1]);
  return sum / 512;
}

}  // namespace

TEST_CASE("the toy teacher has learned its mixture") {
  const auto truth = toy::exact();
  const auto x = ops::normal<double>(Shape{256, 2}, stream(5, "x"));
  for (const double time : {100.0, 500.0, 900.0}) {
    const auto t = Tensor<double>::full(Shape{256}, time);
    const auto a = diffusion::predict(toy::teacher(), x, t, diffusion::Unconditional{});
    const auto b = truth(x, t, diffusion::Unconditional{});
    double gap = 0, size = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) gap += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
    CAPTURE(time);
    CHECK(gap < 0.15 * size);
  }
}

TEST_CASE("TSCD through 8, 4, 2, 1 brings few steps near the teacher's many") {
  Toy<OriginalTeacher> toy;
  toy.run(all);
  for (const int n : {1, 2, 4}) {
    CAPTURE(n);
    const double before = trajectory_error(toy::teacher(), n), after = trajectory_error(toy.runner.student(), n);
    MESSAGE("steps " << n << ": teacher " << before << ", student " << after);
    CHECK(after < 0.7 * before);
  }
  // The stages themselves: after k = 8 alone, eight steps are closer than they were.
  Toy<OriginalTeacher> first;
  first.run({8});
  MESSAGE("steps 8: teacher " << trajectory_error(toy::teacher(), 8) << ", student "
                              << trajectory_error(first.runner.student(), 8));
  CHECK(trajectory_error(first.runner.student(), 8) < 0.6 * trajectory_error(toy::teacher(), 8));
}

TEST_CASE("whose trajectories the stages follow") {
  const auto followed = [](auto policy) {
    std::map<int, std::vector<double>> seen;
    std::map<int, bool> guided;
    Toy<decltype(policy)> toy;
    toy.steps = 3;
    const auto x = ops::normal<double>(Shape{4, 2}, stream(5, "x"));
    const auto t = Tensor<double>::full(Shape{4}, 500.0);
    std::vector<double> student_then;
    std::map<int, bool> as_student;
    toy.watch = [&](const Step& step) {
      const auto y = diffusion::predict(step.teacher, x, t, diffusion::Unconditional{}).to_vector();
      if (seen.count(step.k))
        CHECK(seen[step.k] == y);  // frozen through the stage
      else
        as_student[step.k] =
            y == diffusion::predict(nn::merge_lora(step.student), x, t, diffusion::Unconditional{}).to_vector();
      seen[step.k] = y;
      guided[step.k] = step.guided;
    };
    toy.run({8, 4, 2});
    const auto original = diffusion::predict(toy::teacher(), x, t, diffusion::Unconditional{}).to_vector();
    CHECK(seen[8] == original);
    CHECK(guided[8]);
    for (const int k : {4, 2}) {
      CAPTURE(k);
      CHECK((seen[k] == original) == !decltype(policy)::previous_stage);
      CHECK(as_student[k] == decltype(policy)::previous_stage);
      CHECK(guided[k] == !decltype(policy)::previous_stage);
    }
  };
  followed(OriginalTeacher{});
  followed(PreviousStageTeacher{});
}

TEST_CASE("stages continue each other: iterations count on, the target lags the student") {
  Toy<OriginalTeacher> toy;
  toy.steps = 5;
  std::int64_t expected = 0;
  toy.watch = [&](const Step& step) {
    CHECK(step.iteration == expected++);
    CHECK(step.k == all[static_cast<std::size_t>(step.iteration / 5)]);
    const auto student = step.student.out.adapters.front().up.get().value().to_vector();
    const auto target = step.target.out.adapters.front().up.get().value().to_vector();
    CHECK((student == target) == (step.iteration == 0));
  };
  toy.run(all);
  CHECK(expected == 20);
  CHECK_THROWS_WITH_AS(toy.run({4, 4}), doctest::Contains("k = 4 follows k = 4"), OptionError);
}

TEST_CASE_TEMPLATE("a run stopped in any stage and started again ends bitwise the same", Policy, OriginalTeacher,
                   PreviousStageTeacher) {
  Toy<Policy> whole;
  whole.steps = 50;
  whole.run(all);
  const Folder folder("stages");
  for (const auto& [k, at] : {std::pair{8, 30}, std::pair{4, 10}, std::pair{1, 41}}) {
    Toy<Policy> part{.folder = &folder, .steps = 50};
    part.stop = [k = k, at = at](int stage, std::int64_t step) { return stage == k && step == at; };
    part.run(all);
  }
  Toy<Policy> last{.folder = &folder, .steps = 50};
  last.run(all);
  CHECK(last.weights() == whole.weights());
}
