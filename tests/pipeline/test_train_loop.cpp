// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/train_loop.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/ops/random.hpp>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include "folder.hpp"

using namespace hypersd;
using pipeline::Hooks;
using Result = diffusion::LossResult<float, Cpu>;
using pipeline::TrainOptions;

namespace {

/// A two-layer network that learns a fixed linear map from batches drawn by (seed, step).
struct Toy {
  Var<float> w1{ops::normal<float>(Shape{16, 4}, stream(1, "w1")), true};
  Var<float> b1{Tensor<float>::zeros(Shape{16}), true};
  Var<float> w2{ops::normal<float>(Shape{2, 16}, stream(1, "w2")), true};
  Tensor<float> truth = ops::normal<float>(Shape{2, 4}, stream(1, "truth"));
  std::uint64_t seed = 7;

  [[nodiscard]] optim::ParameterList<float> parameters() const { return {{"w1", w1}, {"b1", b1}, {"w2", w2}}; }
  Result operator()(std::int64_t step) const {
    const Var<float> x(ops::normal<float>(Shape{32, 4}, stream(seed, "batch", static_cast<std::uint64_t>(step))));
    const auto y = autograd::linear(x, Var<float>(truth), Var<float>{}).value();
    const auto h = autograd::silu(autograd::linear(x, w1, b1));
    return {autograd::mse(autograd::linear(h, w2, Var<float>{}), y), {{"batch", 32.0}}};
  }
};

}  // namespace

TEST_CASE("training lowers the loss and reports it") {
  const Toy toy;
  std::vector<records::LogRow> rows;
  Hooks hooks;
  hooks.log = [&](const records::LogRow& row) { rows.push_back(row); };
  const auto result = pipeline::train({.phase = "toy", .steps = 205, .learning_rate = optim::Constant{1e-2}},
                                      toy.parameters(), toy, {}, hooks);
  CHECK(result.first_step == 0);
  CHECK(result.step == 205);
  REQUIRE(rows.size() == 21);
  CHECK(rows[0].step == 10);
  CHECK(rows.back().step == 205);
  CHECK(rows.back().loss == result.loss);
  CHECK(rows.back().loss < 0.05 * rows[0].loss);
  CHECK(rows[0].learning_rate == 1e-2);
  CHECK(rows[0].grad_norm > 0);
  REQUIRE(rows[0].diagnostics.size() == 1);
  CHECK(rows[0].diagnostics[0].second == 32.0);
  CHECK_FALSE(toy.w1.grad().defined());
}

TEST_CASE("progress opens at the first step and ends complete") {
  const Toy toy;
  std::vector<ProgressEvent> events;
  pipeline::train({.phase = "toy", .steps = 5}, toy.parameters(), toy,
                  [&](const ProgressEvent& e) { events.push_back(e); });
  REQUIRE(events.size() == 6);
  CHECK(events.front().phase == "toy");
  CHECK(events.front().step == 0);
  CHECK_FALSE(events.front().loss.has_value());
  CHECK(events.back().step == 5);
  CHECK(events.back().total == 5);
  CHECK(events.back().loss.value() > 0);
}

TEST_CASE("a bare loss is enough, and the schedule sees the step") {
  Var<double> x(Tensor<double>::full(Shape{1}, 4.0), true);
  std::vector<std::int64_t> seen;
  const TrainOptions options{.steps = 3,
                             .learning_rate =
                                 [&](std::int64_t step) {
                                   seen.push_back(step);
                                   return 0.1;
                                 },
                             .clip = 0};
  pipeline::train(options, optim::ParameterList<double>{{"x", x}},
                  [&](std::int64_t) { return autograd::map_mean(ops::Square{}, x); });
  CHECK(seen == std::vector<std::int64_t>{0, 1, 2});
  CHECK(x.value()[0] < 4.0);
}

namespace {

/// A task that writes down what is called.
struct Parts {
  std::string* said;
  Var<double> x;
  void prepare(std::int64_t step) const { *said += std::to_string(step); }
  template <class Average>
  void learn(const Average& average) const {
    average(optim::ParameterList<double>{});
    *said += " learn";
  }
  Var<double> loss() const {
    *said += " loss, ";
    return autograd::map_mean(ops::Square{}, x);
  }
};

}  // namespace

TEST_CASE("a task is prepared, learns, and gives its loss: once a step, in this order") {
  static_assert(pipeline::LearningTask<Parts> && !pipeline::CapturableTask<Parts>);
  std::string said;
  const Var<double> x(Tensor<double>::full(Shape{1}, 4.0), true);
  pipeline::train({.steps = 2}, optim::ParameterList<double>{{"x", x}}, Parts{&said, x});
  CHECK(said == "0 learn loss, 1 learn loss, ");
}

TEST_CASE("with an average the parameters end as their averages, and the trainer can lend it before") {
  const Toy averaged, plain;
  const TrainOptions options{.steps = 30, .ema = optim::EmaOptions{.decay = 0.5}};
  pipeline::Trainer<float> trainer(options, plain.parameters());
  trainer.run(plain);
  CHECK(trainer.ema().updates() == 30);
  CHECK(trainer.ema().parameters()[0].var.value()[0] != plain.w1.value()[0]);
  pipeline::train(options, averaged.parameters(), averaged);
  CHECK(averaged.w1.value().to_vector() == trainer.ema().parameters()[0].var.value().to_vector());
  pipeline::Trainer<float> without({.steps = 1}, plain.parameters());
  CHECK_THROWS_AS((void)without.ema(), OptionError);
}

TEST_CASE("stop is asked after every update and ends early with a checkpoint") {
  const Folder folder("train");
  const Toy toy;
  std::vector<std::int64_t> after, saved;
  const TrainOptions options{.steps = 50, .checkpoint_every = 2, .checkpoint = folder.file("c.safetensors")};
  const auto look = [&] {
    if (folder.read("c.safetensors").empty()) return;
    const auto step = records::CheckpointInfo::of(io::SafetensorsFile(options.checkpoint)).step;
    if (saved.empty() || saved.back() != step) saved.push_back(step);
  };
  Hooks hooks;
  hooks.stop = [&](std::int64_t step) {
    look();
    after.push_back(step);
    return step == 5;
  };
  const auto result = pipeline::train(options, toy.parameters(), toy, {}, hooks);
  look();
  CHECK(result.stopped);
  CHECK(result.step == 5);
  CHECK(after == std::vector<std::int64_t>{1, 2, 3, 4, 5});
  CHECK(saved == std::vector<std::int64_t>{2, 4, 5});
}

TEST_CASE("a loss that is not finite stops the run, names phase and step and keeps the last good checkpoint") {
  const Folder folder("train");
  const Toy toy;
  const TrainOptions options{
      .phase = "teacher", .steps = 100, .checkpoint_every = 10, .checkpoint = folder.file("c.safetensors")};
  std::string good;
  std::vector<float> before;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    pipeline::Trainer<float> trainer(options, toy.parameters());
    auto step_fn = [&](std::int64_t step) {
      before = toy.w1.value().to_vector();
      if (step == 25) good = folder.read("c.safetensors");
      const auto result = toy(step);
      return step == 25 ? autograd::affine(result.loss, bad) : result.loss;
    };
    CHECK_THROWS_WITH_AS(trainer.run(step_fn), doctest::Contains("phase 'teacher', step 26 of 100"), NumericError);
    CHECK(trainer.step() == 25);
    CHECK(toy.w1.value().to_vector() == before);
    CHECK(folder.read("c.safetensors") == good);
    CHECK(records::CheckpointInfo::of(io::SafetensorsFile(folder.file("c.safetensors"))).step == 20);
  }
  pipeline::Trainer<float> trainer(options, toy.parameters());
  CHECK_THROWS_WITH_AS(trainer.run([&](std::int64_t step) {
    return autograd::affine(toy(step).loss, std::numeric_limits<float>::quiet_NaN());
  }),
                       doctest::Contains("no checkpoint was written yet"), NumericError);
}

TEST_CASE("a gradient that is not finite stops the run too, and names the parameter") {
  const Toy toy;
  auto step_fn = [&](std::int64_t step) {
    const auto loss = toy(step).loss;
    if (step < 3) return loss;
    return autograd::make_result<float, Cpu>(loss.value(), {toy.b1}, [b = toy.b1](const Tensor<float>&) {
      b.accumulate(Tensor<float>::full(b.shape(), std::numeric_limits<float>::infinity()));
    });
  };
  const TrainOptions options{.phase = "student", .steps = 9};
  CHECK_THROWS_WITH_AS(pipeline::train(options, toy.parameters(), step_fn),
                       doctest::Contains("phase 'student', step 4 of 9: the gradient of 'b1'"), NumericError);
}

TEST_CASE("an error of a step names phase, step and checkpoint, and keeps its type") {
  struct Own : Error {
    using Error::Error;
  };
  const Folder folder("train");
  const Toy toy;
  const TrainOptions options{
      .phase = "student", .steps = 9, .checkpoint_every = 2, .checkpoint = folder.file("c.safetensors")};
  const auto failing = [&](const auto& error) {
    return pipeline::train(options, toy.parameters(), [&](std::int64_t step) {
      if (step == 5) throw error;
      return toy(step).loss;
    });
  };
  const std::string place = "phase 'student', step 6 of 9: ",
                    kept = "; the checkpoint of step 4 is kept in '" + options.checkpoint + "'";
  CHECK_THROWS_WITH_AS(failing(IoError("no such image")), (place + "no such image" + kept).c_str(), IoError);
  CHECK_THROWS_WITH_AS(failing(ShapeError("[2] and [3]")), (place + "[2] and [3]" + kept).c_str(), ShapeError);
  CHECK_THROWS_WITH_AS(failing(Error("none")), (place + "none" + kept).c_str(), Error);
  CHECK_THROWS_WITH_AS(failing(std::bad_alloc()), (place + "out of memory" + kept).c_str(), Error);
  CHECK_THROWS_WITH_AS(failing(Own("own")), "own", Own);
  CHECK_THROWS_AS(failing(7), int);
  try {
    failing(std::out_of_range("at 3"));
  } catch (const Error& e) {
    CHECK(std::string(e.what()) == place + "at 3" + kept);
    CHECK_THROWS_AS(std::rethrow_if_nested(e), std::out_of_range);
  }
  // Before the first checkpoint there is none to keep.
  CHECK_THROWS_WITH_AS(pipeline::train({.phase = "p", .steps = 2}, toy.parameters(),
                                       [](std::int64_t) -> Var<float> { fail<OptionError>("bad"); }),
                       "phase 'p', step 1 of 2: bad; no checkpoint was written yet", OptionError);
}

TEST_CASE("options out of range are errors that name phase and option") {
  const Toy toy;
  auto build = [&](const TrainOptions& options) { pipeline::Trainer<float>(options, toy.parameters()); };
  CHECK_THROWS_WITH_AS(build({.phase = "p", .steps = 0}), doctest::Contains("phase 'p': steps = 0"), OptionError);
  CHECK_THROWS_AS(build({.steps = -4}), OptionError);
  CHECK_THROWS_AS(build({.learning_rate = {}}), OptionError);
  CHECK_THROWS_AS(build({.clip = -1}), OptionError);
  CHECK_THROWS_AS(build({.log_every = 0}), OptionError);
  CHECK_THROWS_AS(build({.checkpoint_every = -1}), OptionError);
  CHECK_THROWS_AS(build({.ema = optim::EmaOptions{.decay = 2}}), OptionError);
  CHECK_THROWS_AS(pipeline::Trainer<float>(TrainOptions{}, optim::ParameterList<float>{}), OptionError);
}
