// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <dist/threads.hpp>
#include <hypersd/distill/auxiliary_network.hpp>
#include <pipeline/denoising_runs.hpp>
#include <pipeline/folder.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace hypersd;
using denoising_runs::Net;
using emulated::Kernels;

namespace {

/// Where and how a step goes wrong on a rank.
struct Fault {
  std::int64_t step = -1;
  int rank = 1;
  /// Or "loss", "gradient": not finite; "both": that, and it throws two steps later; "two": rank 0 throws two later.
  const char* how = "throw";
};

struct Outcome {
  std::vector<float> parameters;  ///< and their averages
  std::vector<records::LogRow> rows;
  std::vector<std::int64_t> updates, after;  ///< of the optimiser's parameters; steps that gave a loss
  int host_calls = 0, device_calls = 0;
};

/// Eleven steps on a rank's part of a batch of 12. Besides the net there are a parameter of which only rank 1, of
/// several, has gradients, one that has some in every third step alone, and one that never has any.
template <class T, class D>
void train(Outcome& out, dist::Group group, std::int64_t log_every = 4, const Fault& fault = {}, bool may_stop = false,
           const std::string& checkpoint = {}) {
  const dist::Slice mine = dist::slice(group, 12);
  const Net<T, D> net;
  const diffusion::StableDiffusion process;
  const auto extra = [](float value) {
    return Var<T, D>(ops::cast<T>(Tensor<float>::full(Shape{3}, value)).template to<D>(), true);
  };
  const Var<T, D> lonely = extra(1), seldom = extra(2), unused = extra(3);
  auto parameters = net.parameters();
  parameters.push_back({"lonely", lonely});
  parameters.push_back({"seldom", seldom});
  parameters.push_back({"unused", unused});

  pipeline::TrainOptions options = denoising_runs::options(11);
  options.log_every = log_every;
  options.adamw.weight_decay = 0.1;
  options.group = group;
  options.checkpoint = checkpoint;
  options.checkpoint_every = checkpoint.empty() ? 0 : 6;
  pipeline::Trainer<T, D> trainer(options, parameters);
  (void)trainer.resume();
  pipeline::Hooks hooks;
  hooks.log = [&](const records::LogRow& row) { out.rows.push_back(row); };
  if (may_stop) hooks.stop = [](std::int64_t) { return false; };
  const auto part = [&](std::int64_t step, const char* name, std::int64_t width) {
    return denoising_runs::data<T, D>(step, Shape{12, width}, name).slice(mine.first, mine.first + mine.count);
  };
  const auto scaled = [](const Var<T, D>& x, float by) { return autograd::mean(autograd::affine(x, by)); };
  const auto read = [&] {
    for (const auto& p : parameters)
      for (const T v : p.var.value().to_vector()) out.parameters.push_back(widened(v));
    for (const auto& average : trainer.ema().exact())
      for (const auto v : average.to_vector()) out.parameters.push_back(v);
    for (const auto& slot : trainer.optimizer().slots()) out.updates.push_back(slot.steps[0]);
  };
  const auto run = [&] {
    trainer.run(
        [&](std::int64_t step) {
          const bool here = group.rank() == fault.rank;
          const std::string how = fault.how;
          if (group.rank() == 0 && how == "two" && step == fault.step + 2) fail<IoError>("and those of this one");
          if (here && (how == "throw" || how == "two") && step == fault.step)
            fail<IoError>("the data of this rank are gone");
          if (here && how == "both" && step == fault.step + 2) fail<IoError>("the data of this rank are gone");
          auto loss = diffusion::denoising_loss(net, process, part(step, "x0", 4), part(step, "condition", 1), 5, step,
                                                mine.first);
          if (group.rank() == group.size() - 1)
            loss = autograd::add(loss, scaled(lonely, 0.15F * static_cast<float>(group.size())));
          if (step % 3 == 1) loss = autograd::add(loss, scaled(seldom, 0.2F));
          if (here && step == fault.step && (how == "loss" || how == "both"))
            loss = autograd::affine(loss, std::numeric_limits<float>::quiet_NaN());
          if (here && step == fault.step && how == "gradient") {
            auto w = lonely;
            w.set_grad(Tensor<T, D>::full(w.shape(), converted<T>(std::numeric_limits<float>::infinity())));
          }
          out.after.push_back(step + 1);
          return loss;
        },
        {}, hooks);
  };
  try {
    run();
  } catch (...) {
    read();
    throw;
  }
  read();
}

template <class T, class D>
Outcome alone(std::int64_t log_every = 4) {
  Outcome out;
  train<T, D>(out, {}, log_every);
  return out;
}

/// What each of `n` ranks comes to, and what it throws.
struct Ranks {
  std::vector<Outcome> outcomes;
  std::vector<std::string> said;
};
template <class T, class D, class C>
Ranks together(int n, std::int64_t log_every = 4, const Fault& fault = {}, bool may_stop = false,
               const std::string& checkpoint = {}) {
  Ranks out;
  out.outcomes.resize(static_cast<std::size_t>(n));
  out.said = as_ranks<C>(n, [&](dist::Group group, C& communicator) {
    Outcome& mine = out.outcomes[static_cast<std::size_t>(group.rank())];
    const auto count = [&] {
      if constexpr (requires { communicator.host_calls; }) {
        mine.host_calls = communicator.host_calls;
        mine.device_calls = communicator.device_calls;
      }
    };
    try {
      train<T, D>(mine, group, log_every, fault, may_stop, checkpoint);
    } catch (...) {
      count();
      throw;
    }
    count();
  });
  return out;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() && !a.empty() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

void check_rows(const std::vector<records::LogRow>& got, const std::vector<records::LogRow>& expected, double epsilon) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].step == expected[i].step);
    CHECK(got[i].loss == doctest::Approx(expected[i].loss).epsilon(epsilon));
    CHECK(got[i].grad_norm == doctest::Approx(expected[i].grad_norm).epsilon(epsilon));
    CHECK(got[i].learning_rate == expected[i].learning_rate);
  }
}

struct Critic {
  using value_type = float;
  using device_type = Kernels;
  Var<float, Kernels> w{Tensor<float, Kernels>::ones(Shape{2}), true};
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    f(prefix + "w", w);
  }
};

/// A task whose critic learns: on rank 0 down, on the others up. Rank 1 throws in step `at`.
struct Learning {
  distill::AuxiliaryNetwork<Critic>& critic;
  const Var<float, Kernels>& w;
  std::size_t me;
  std::int64_t at;

  void prepare(std::int64_t step) const {
    if (step == at && me == 1) fail<IoError>("the data of this rank are gone");
  }
  template <class Average>
  void learn(const Average& average) {
    critic.update([&] { return autograd::affine(autograd::mean(critic.network().w), me == 0 ? 3.0F : -1.0F); },
                  average);
  }
  Var<float, Kernels> loss() const { return autograd::mean(w); }
};

}  // namespace

TEST_CASE("ranks on GPUs, whose hosts do not wait, give the curve of one with the whole batch") {
  const Outcome one = alone<float, Cpu>();
  CHECK(one.updates == std::vector<std::int64_t>{11, 11, 11, 11, 4, 0});
  for (const int n : {2, 3}) {
    CAPTURE(n);
    const Ranks ranks = together<float, Kernels, DeviceThreads>(n);
    for (const auto& said : ranks.said) CHECK(said == "");
    check_rows(ranks.outcomes[0].rows, one.rows, 1e-5);
    for (const Outcome& rank : ranks.outcomes) {
      CHECK(rank.parameters == ranks.outcomes[0].parameters);
      CHECK(distance(rank.parameters, one.parameters) < 1e-5);
      CHECK(rank.updates == one.updates);
      CHECK(rank.device_calls == 11);
    }
  }
}

TEST_CASE("how often the curve is looked at does not change it") {
  const Ranks every = together<float, Kernels, DeviceThreads>(2, 1),
              seldom = together<float, Kernels, DeviceThreads>(2, 100);
  CHECK(distance(every.outcomes[0].parameters, seldom.outcomes[0].parameters) < 1e-6);
  CHECK(every.outcomes[1].updates == seldom.outcomes[1].updates);
  REQUIRE(every.outcomes[0].rows.size() == 11);
  // The hosts meet where a line is due, not in a step.
  CHECK(every.outcomes[0].host_calls > seldom.outcomes[0].host_calls + 10);
  CHECK(together<float, Kernels, DeviceThreads>(2, 100, {}, true).outcomes[0].host_calls ==
        seldom.outcomes[0].host_calls + 11);  // a vote on stopping
}

TEST_CASE("the same numbers as ranks that wait for each step") {
  const Ranks waiting = together<float, Kernels, Threads>(2), deferred = together<float, Kernels, DeviceThreads>(2);
  CHECK(waiting.said == std::vector<std::string>(2));
  check_rows(deferred.outcomes[0].rows, waiting.outcomes[0].rows, 1e-6);
  CHECK(distance(waiting.outcomes[0].parameters, deferred.outcomes[0].parameters) < 1e-6);
  CHECK(waiting.outcomes[0].updates == deferred.outcomes[0].updates);
}

TEST_CASE("bfloat16 on two ranks is that on one, to rounding") {
  const Outcome one = alone<bfloat16, Cpu>();
  const Ranks ranks = together<bfloat16, Kernels, DeviceThreads>(2);
  for (const auto& said : ranks.said) CHECK(said == "");
  check_rows(ranks.outcomes[0].rows, one.rows, 0.02);
  CHECK(ranks.outcomes[0].parameters == ranks.outcomes[1].parameters);
  CHECK(distance(ranks.outcomes[0].parameters, one.parameters) < 0.05);
}

TEST_CASE("a step that throws on one rank ends all at that step, and has changed nothing") {
  // Steps of the first window, of a later one, and the last of one.
  for (const std::int64_t at : {0, 5, 7}) {
    for (const bool may_stop : {false, true}) {
      CAPTURE(at);
      CAPTURE(may_stop);
      const Ranks ranks = together<float, Kernels, DeviceThreads>(3, 4, {at, 1, "throw"}, may_stop);
      const std::string mine = "phase 'denoiser', rank 1 of 3, step " + std::to_string(at + 1) +
                               " of 11: the data of this rank are gone; no checkpoint was written yet";
      CHECK(ranks.said == std::vector<std::string>{"rank 1 of 3 failed: " + mine, mine, "rank 1 of 3 failed: " + mine});
      for (const Outcome& rank : ranks.outcomes) {
        CHECK(rank.parameters == ranks.outcomes[0].parameters);
        CHECK(rank.updates[0] == at);
        CHECK(rank.device_calls == ranks.outcomes[0].device_calls);
      }
      CHECK(static_cast<std::int64_t>(ranks.outcomes[1].after.size()) == at);  // not after the failure
      // With votes the others learn of it in the same step.
      CHECK(ranks.outcomes[0].device_calls == (may_stop ? at + 1 : at / 4 * 4 + 4));
    }
  }
}

TEST_CASE("a run that failed goes on from its checkpoint, bit for bit, or on one rank") {
  const Folder folder("gpu-ranks");
  const auto run = [&](const char* name, const Fault& fault = {}) {
    return together<float, Kernels, DeviceThreads>(2, 4, fault, false, folder.file(name));
  };
  const Ranks whole = run("whole");
  CHECK(whole.said == std::vector<std::string>(2));
  for (const char* name : {"two", "one"})
    CHECK(run(name, {8}).said[1].find(
              "step 9 of 11: the data of this rank are gone; the checkpoint of step 6 is kept") != std::string::npos);
  const Ranks resumed = run("two");
  for (std::size_t r = 0; r < 2; ++r) {
    CHECK(resumed.outcomes[r].after.front() == 7);
    CHECK(resumed.outcomes[r].parameters == whole.outcomes[0].parameters);
  }
  Outcome one;
  train<float, Cpu>(one, {}, 4, {}, false, folder.file("one"));
  CHECK(one.after.front() == 7);
  CHECK(distance(one.parameters, whole.outcomes[0].parameters) < 1e-5);
}

TEST_CASE("of two ranks that fail before the question the earlier one is named") {
  const Ranks ranks = together<float, Kernels, DeviceThreads>(3, 4, {4, 2, "two"});
  const std::string mine =
                        "phase 'denoiser', rank 2 of 3, step 5 of 11: the data of this rank are gone; no checkpoint "
                        "was written yet",
                    said = "rank 2 of 3 failed: " + mine;
  CHECK(ranks.said == std::vector<std::string>{said, said, mine});
  for (const Outcome& rank : ranks.outcomes) CHECK(rank.updates[0] == 4);
}

TEST_CASE("a loss or a gradient that is not finite on one rank is named by all") {
  for (const auto& [kind, what] : {std::pair{"loss", "the loss is nan, from rank 2; no checkpoint"},
                                   std::pair{"both", "the loss is nan, from rank 2; no checkpoint"},
                                   std::pair{"gradient", "the gradient norm is inf; no checkpoint"}}) {
    const char* how = kind;
    CAPTURE(how);
    const Ranks ranks = together<float, Kernels, DeviceThreads>(3, 4, {5, 2, how});
    for (std::size_t r = 0; r < 3; ++r) {
      const std::string start = "phase 'denoiser', rank " + std::to_string(r) + " of 3, step 6 of 11: ";
      CHECK(ranks.said[r].find(start + what) == 0);
      CHECK(ranks.outcomes[r].updates[0] == 5);
      CHECK(ranks.outcomes[r].updates[4] == 2);
    }
  }
}

TEST_CASE("a task that learns makes the ranks wait for each step") {
  for (const std::int64_t at : {-1, 3}) {
    CAPTURE(at);
    std::vector<int> reductions(2);
    std::vector<std::vector<float>> weights(2);
    const auto said = as_ranks<DeviceThreads>(2, [&](dist::Group group, DeviceThreads& communicator) {
      const auto me = static_cast<std::size_t>(group.rank());
      const Var<float, Kernels> w(Tensor<float, Kernels>::ones(Shape{2}), true);
      pipeline::TrainOptions options{.phase = "toy", .steps = 5, .log_every = 5, .group = group};
      pipeline::Trainer<float, Kernels> trainer(options, {{"w", w}});
      distill::AuxiliaryNetwork<Critic> critic(Critic{}, optim::AdamWOptions{}, 1e-2);
      trainer.state().add("critic.", critic);
      const auto read = [&] {
        reductions[me] = communicator.device_calls;
        weights[me] = critic.network().w.value().to_vector();
      };
      try {
        trainer.run(Learning{critic, w, me, at});
      } catch (...) {
        read();
        throw;
      }
      read();
    });
    const std::string mine =
        "phase 'toy', rank 1 of 2, step 4 of 5: the data of this rank are gone; no checkpoint was written yet";
    CHECK(said[0] == (at < 0 ? "" : "rank 1 of 2 failed: " + mine));
    CHECK(said[1] == (at < 0 ? "" : mine));
    CHECK(weights[0] == weights[1]);
    CHECK(weights[0][0] < 1);
    CHECK(reductions[0] == (at < 0 ? 10 : 7));  // the critic's and the step's; none after the failure
  }
}
