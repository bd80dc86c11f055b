// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/train_loop.hpp>
#include <hypersd/records/loss_log.hpp>
//
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/ops/random.hpp>

#include "folder.hpp"

using namespace hypersd;
using pipeline::TrainOptions;

namespace {

/// A regression with a second network ("critic") that has an optimiser of its own, as adversarial training has: a task
/// that learns.
struct Run {
  Var<float> weight{ops::normal<float>(Shape{24, 8}, stream(1, "weight")), true};
  Var<float> head{ops::normal<float>(Shape{3, 24}, stream(1, "head")), true};
  Var<float> critic{Tensor<float>::ones(Shape{3}), true};
  optim::AdamW<float> critic_optimizer{optim::ParameterList<float>{{"critic", critic}}};
  TrainOptions options;
  pipeline::Trainer<float> trainer;
  std::string log_path;
  std::int64_t now = 0;                                ///< the step
  std::function<void(std::int64_t)> before_step = {};  ///< may kill the process

  explicit Run(const Folder& folder, const std::string& name, std::uint64_t seed = 3)
      : options{.phase = "toy",
                .steps = 60,
                .learning_rate = optim::Cosine{.lr = 1e-2, .steps = 60},
                .adamw = {.weight_decay = 0.01},
                .ema = optim::EmaOptions{.decay = 0.9, .warm_up = true},
                .log_every = 7,
                .checkpoint_every = 9,
                .checkpoint = folder.file(name + ".safetensors"),
                .seed = seed},
        trainer(options, {{"weight", weight}, {"head", head}}),
        log_path(folder.file(name)) {
    trainer.state().add("critic", critic);
    trainer.state().add("critic.", critic_optimizer);
  }

  void prepare(std::int64_t step) {
    now = step;
    if (before_step) before_step(step);
  }
  [[nodiscard]] Var<float> output() const {
    const Var<float> x(
        ops::normal<float>(Shape{64, 8}, stream(options.seed, "batch", static_cast<std::uint64_t>(now))));
    return autograd::linear(autograd::silu(autograd::linear(x, weight, Var<float>{})), head, Var<float>{});
  }
  template <class Average>
  void learn(const Average& average) {
    critic_optimizer.zero_grad();
    autograd::backward(autograd::mean(autograd::mul(output().detach(), ops::per_channel(critic))));
    average(optim::ParameterList<float>{{"critic", critic}});
    critic_optimizer.step(1e-2);
  }
  diffusion::LossResult<float, Cpu> loss() const {
    const auto h = output();
    const auto target = ops::normal<float>(h.shape(), stream(options.seed, "y", static_cast<std::uint64_t>(now)));
    return {autograd::mse(autograd::mul(h, ops::per_channel(critic.detach())), target),
            {{"critic", static_cast<double>(critic.value()[0])}}};
  }
  /// Continues from the checkpoint if there is one.
  void go(const std::function<void(std::int64_t)>& before = {}) {
    before_step = before;
    trainer.resume();
    records::LossLog log(log_path, trainer.step());
    pipeline::Hooks hooks;
    hooks.log = [&](const records::LogRow& row) { log.add(row); };
    trainer.run(*this, {}, hooks);
  }
};

static_assert(pipeline::LearningTask<Run> && !pipeline::CapturableTask<Run>);

/// Runs `body` in a child process and returns its wait status. One thread only, since threads do not survive a fork.
template <class Body>
int in_child(Body body) {
  const int threads = num_threads();
  set_num_threads(1);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  set_num_threads(threads);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("a run killed again and again equals an uninterrupted one, byte for byte") {
  const Folder folder("resume");
  Run whole(folder, "whole");
  whole.go();
  // Before the first checkpoint, right at one, between two, and twice from the same one.
  for (const std::int64_t kill_at : {4, 9, 25, 22, 54}) {
    const int status = in_child([&] {
      Run run(folder, "killed");
      run.go([&](std::int64_t step) {
        if (step == kill_at) ::raise(SIGKILL);
      });
      return 0;
    });
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
  }
  Run last(folder, "killed");
  last.go();
  CHECK(last.trainer.step() == 60);
  CHECK(last.weight.value().to_vector() == whole.weight.value().to_vector());
  CHECK(folder.read("killed.safetensors") == folder.read("whole.safetensors"));
  CHECK(folder.read("killed.csv") == folder.read("whole.csv"));
  CHECK(folder.read("killed.jsonl") == folder.read("whole.jsonl"));
  CHECK(folder.read("whole.csv").find("\n9,") != std::string::npos);
}

TEST_CASE("a finished phase resumes to nothing left to do") {
  const Folder folder("resume");
  Run first(folder, "a");
  first.go();
  Run again(folder, "a");
  CHECK(again.trainer.resume());
  const auto result = again.trainer.run([](std::int64_t) -> Var<float> { fail("no step is due"); });
  CHECK(result.first_step == 60);
  CHECK(result.step == 60);
  CHECK(again.head.value().to_vector() == first.head.value().to_vector());
}

TEST_CASE("a checkpoint of another seed, architecture or a damaged file is refused") {
  const Folder folder("resume");
  Run first(folder, "a");
  first.go();
  Run other_seed(folder, "a", 4);
  CHECK_THROWS_WITH_AS(other_seed.trainer.resume(), doctest::Contains("seed was 3 and is 4"), OptionError);
  Run more_state(folder, "a");
  more_state.trainer.state().add("extra", Tensor<float>::ones(Shape{1}));
  CHECK_THROWS_WITH_AS(more_state.trainer.resume(), doctest::Contains("'extra'"), FormatError);
  const std::string bytes = folder.read("a.safetensors");
  folder.write("a.safetensors", bytes.substr(0, bytes.size() / 2));
  std::filesystem::remove(folder.file("a.safetensors.previous"));
  Run truncated(folder, "a");
  const auto before = truncated.weight.value().to_vector();
  CHECK_THROWS_WITH_AS(truncated.trainer.resume(), doctest::Contains("truncated"), FormatError);
  CHECK(truncated.weight.value().to_vector() == before);
  CHECK(truncated.trainer.step() == 0);
}

TEST_CASE("a damaged checkpoint: the one before goes on, and says so") {
  const Folder folder("damage");
  Run whole(folder, "whole");
  whole.go();
  CHECK(records::CheckpointInfo::of(io::SafetensorsFile(folder.file("whole.safetensors.previous"))).step == 54);
  Run first(folder, "a");
  first.go();
  std::string bytes = folder.read("a.safetensors");
  bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 4);  // one bit of the last tensor
  folder.write("a.safetensors", bytes);

  Run again(folder, "a");
  CHECK(again.trainer.resume());
  CHECK(again.trainer.step() == 54);
  std::string said;
  records::LossLog log(again.log_path, again.trainer.step());
  pipeline::Hooks hooks;
  hooks.log = [&](const records::LogRow& row) { log.add(row); };
  again.trainer.run(
      again, [&](const ProgressEvent& e) { said += e.message; }, hooks);
  CHECK(said.find("'" + folder.file("a.safetensors") + "' is damaged: tensor ") != std::string::npos);
  CHECK(said.find("of step 54, goes on") != std::string::npos);
  CHECK(folder.read("a.safetensors") == folder.read("whole.safetensors"));
  CHECK(folder.read("a.safetensors.previous") == folder.read("whole.safetensors.previous"));
  CHECK(folder.read("a.safetensors.damaged") == bytes);
  CHECK(folder.read("a.csv") == folder.read("whole.csv"));

  folder.write("a.safetensors", bytes);
  folder.write("a.safetensors.previous", bytes.substr(0, 100));
  Run neither(folder, "a");
  CHECK_THROWS_WITH_AS(neither.trainer.resume(), doctest::Contains("to train it from the beginning"), FormatError);
}

TEST_CASE("a disk that fills up is an error, and the checkpoint before stays whole") {
  const Folder folder("resume");
  const int status = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    Run run(folder, "a");
    try {
      run.go([&](std::int64_t step) {
        const rlimit small{1000, 1000};  // bytes a file may have: too few for a checkpoint, enough for the log
        if (step == 10) ::setrlimit(RLIMIT_FSIZE, &small);
      });
    } catch (const IoError& error) {
      return std::string(error.what()).find("a.safetensors") != std::string::npos ? 7 : 8;
    }
    return 9;
  });
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(records::CheckpointInfo::of(io::SafetensorsFile(folder.file("a.safetensors"))).step == 9);
  Run whole(folder, "whole"), resumed(folder, "a");
  whole.go();
  resumed.go();
  CHECK(folder.read("a.safetensors") == folder.read("whole.safetensors"));
}
