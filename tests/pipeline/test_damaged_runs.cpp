// SPDX-License-Identifier: Apache-2.0
// State that must not be taken for this run's: files without run.json, impossible counters, parameters that overflowed.
#include <hypersd/pipeline/train_loop.hpp>
#include <hypersd/records/directory.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <limits>

#include "folder.hpp"

using namespace hypersd;
using namespace hypersd::pipeline;
using namespace hypersd::records;

TEST_CASE("state without run.json is refused, and replaced on request") {
  const Folder folder("orphaned");
  const std::string path = folder.file("run");
  { const RunDirectory first(path, {{"seed", "1"}}); }
  io::atomic_write(path + "/state/teacher.safetensors", "old");
  std::filesystem::remove(path + "/run.json");
  for (const Existing existing : {Existing::refuse, Existing::resume})
    CHECK_THROWS_WITH_AS(RunDirectory(path, {{"seed", "2"}}, existing), doctest::Contains("no run.json"), OptionError);
  {
    const RunDirectory replaced(path, {{"seed", "2"}}, Existing::replace);
    CHECK(!std::filesystem::exists(path + "/state/teacher.safetensors"));
  }
  // A kill before run.json was there may leave the probe of a folder: that is no state.
  std::filesystem::remove(path + "/run.json");
  io::atomic_write(path + "/state/.probe-1", "0");
  const RunDirectory begun(path, {{"seed", "3"}}, Existing::resume);
  CHECK(!begun.resumed());
}

TEST_CASE("a lock that is a link is refused, and what it points to stays") {
  const Folder folder("lock");
  const std::string path = folder.file("run"), precious = folder.file("precious");
  std::filesystem::create_directories(path);
  folder.write("precious", "content");
  std::filesystem::create_symlink(precious, path + "/.lock");
  CHECK_THROWS_WITH_AS(RunDirectory(path, {}), doctest::Contains(".lock': it is a symbolic link; remove it"), IoError);
  std::filesystem::remove(path + "/.lock");
  std::filesystem::create_hard_link(precious, path + "/.lock");
  CHECK_THROWS_WITH_AS(RunDirectory(path, {}), doctest::Contains("hard links"), IoError);
  CHECK(folder.read("precious") == "content");
}

TEST_CASE("a damaged run.json names what to do") {
  const Folder folder("json");
  const std::string path = folder.file("run");
  { const RunDirectory first(path, {{"seed", "1"}}); }
  folder.write("run/run.json", "{\"format\": 1,");
  CHECK_THROWS_WITH_AS(RunDirectory(path, {{"seed", "1"}}, Existing::resume),
                       doctest::Contains("or remove the folder to begin again"), FormatError);
}

TEST_CASE("state beside the parameters that is not finite is not saved either") {
  const Folder folder("moments");
  State state;
  const Tensor<float> moment = Tensor<float>::ones(Shape{70});
  state.add("critic.moment", moment);
  state.save(folder.file("c.safetensors"));
  const std::string before = folder.read("c.safetensors");
  moment[69] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(state.save(folder.file("c.safetensors")),
                       doctest::Contains("tensor 'critic.moment' is not finite"), NumericError);
  CHECK(folder.read("c.safetensors") == before);
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
                       doctest::Contains("'parameter.x' is not finite; the checkpoint of step 2 is kept"),
                       NumericError);
  CHECK(CheckpointInfo::of(io::SafetensorsFile(options.checkpoint)).step == 2);
}
