// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/session.hpp>
#include <hypersd/pipeline/stop.hpp>
//
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <csignal>
#include <hypersd/autograd/functions.hpp>

#include "folder.hpp"

using namespace hypersd;
using namespace hypersd::pipeline;
using namespace hypersd::records;

namespace {

/// Trains one number in a run folder; `signal` comes in step `at`.
double train(const Folder& folder, const std::string& name, Existing existing, std::int64_t at = -1, int signal = 0) {
  RunDirectory directory(folder.file(name), {}, existing);
  const Session session{directory, 1, {}, 100, {}, StopOnSignal::stop};
  const Var<float> x(Tensor<float>::ones(Shape{1}), true);
  TrainOptions options;
  options.phase = "toy";
  options.steps = 20;
  options.learning_rate = optim::Cosine{.lr = 1e-2, .steps = 20};
  session.train(options, optim::ParameterList<float>{{"x", x}}, [&](std::int64_t step) {
    if (step == at) ::raise(signal);
    return autograd::mean(autograd::mul(x, x));
  });
  return static_cast<double>(x.value()[0]);
}

}  // namespace

TEST_CASE("SIGTERM and SIGINT end a phase after its step with a checkpoint, and a resumed run equals a whole one") {
  const Folder folder("stop");
  const double whole = train(folder, "whole", Existing::refuse);
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string name = "stopped" + std::to_string(signal);
    {
      const StopOnSignal guard;
      CHECK(!StopOnSignal::stop());
      CHECK_THROWS_WITH_AS(train(folder, name, Existing::refuse, 6, signal),
                           doctest::Contains("stopped in phase 'toy' after step 7 of 20; its checkpoint is '"),
                           Stopped);
      CHECK(StopOnSignal::signal() == signal);
      const io::SafetensorsFile file(folder.file(name) + "/state/toy.safetensors");
      CHECK(CheckpointInfo::of(file).step == 7);
    }
    const StopOnSignal again;  // begins without a signal
    CHECK(train(folder, name, Existing::resume) == whole);
    CHECK(folder.read(name + "/state/toy.safetensors") == folder.read("whole/state/toy.safetensors"));
  }
}

TEST_CASE("a second signal ends the process at once; one object at a time; handlers come back") {
  const pid_t child = ::fork();
  if (child == 0) {
    const StopOnSignal guard;
    ::raise(SIGINT);
    if (!StopOnSignal::stop()) ::_exit(1);
    ::raise(SIGTERM);
    ::_exit(2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);

  struct sigaction before {
  }, after{};
  ::sigaction(SIGTERM, nullptr, &before);
  {
    const StopOnSignal guard;
    CHECK_THROWS_AS(StopOnSignal(), OptionError);
  }
  ::sigaction(SIGTERM, nullptr, &after);
  CHECK((before.sa_handler == after.sa_handler));
}
