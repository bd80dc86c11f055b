// SPDX-License-Identifier: Apache-2.0
// State that must not be taken for this run's: files without run.json, impossible counters, parameters that overflowed.
#include <hypersd/pipeline/run_state.hpp>
#include <hypersd/pipeline/train_loop.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>

#include "folder.hpp"

using namespace hypersd;
using namespace hypersd::pipeline;

TEST_CASE("state without run.json is refused, and replaced on request") {
  const Folder folder("orphaned");
  const std::string path = folder.file("run");
  { const RunDirectory first(path, {{"seed", "1"}}); }
  io::atomic_write(path + "/state/teacher.safetensors", "old");
  std::filesystem::remove(path + "/run.json");
  for (const Existing existing : {Existing::refuse, Existing::resume})
    CHECK_THROWS_WITH_AS(RunDirectory(path, {{"seed", "2"}}, existing), doctest::Contains("no run.json"), OptionError);
  const RunDirectory replaced(path, {{"seed", "2"}}, Existing::replace);
  CHECK(!std::filesystem::exists(path + "/state/teacher.safetensors"));
}

TEST_CASE("a checkpoint with a step that no run reaches is refused by name") {
  const Folder folder("counters");
  State state;
  const Var<double> x(Tensor<double>::zeros(Shape{2}), true);
  state.add("x", x);
  const std::string path = folder.file("bad.safetensors");
  state.save(path, {{"phase", "p"}, {"step", "18446744073709551615"}, {"steps", "10"}, {"seed", "0"}});
  CHECK_THROWS_WITH_AS((void)CheckpointInfo::of(io::SafetensorsFile(path)), doctest::Contains("its step is"),
                       FormatError);
}

TEST_CASE("parameters that overflowed are not saved over the last good checkpoint") {
  const Folder folder("overflow");
  const Var<float> x(Tensor<float>::full(Shape{1}, 1.0F), true);
  TrainOptions options;
  options.phase = "overflow";
  options.steps = 4;
  options.checkpoint = folder.file("c.safetensors");
  options.checkpoint_every = 1;
  // Finite losses and gradients; the third update leaves float's range.
  options.learning_rate = [](std::int64_t step) { return step < 2 ? 1e-3 : 1e39; };
  Trainer<float> trainer(options, {{"x", x}});
  CHECK_THROWS_WITH_AS(trainer.run([&](std::int64_t) { return autograd::mean(x); }),
                       doctest::Contains("'x' is not finite; the checkpoint of step 2 is kept"), NumericError);
  CHECK(CheckpointInfo::of(io::SafetensorsFile(options.checkpoint)).step == 2);
}
