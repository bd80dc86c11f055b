// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/pipeline/train_loop.hpp>
//
#include <doctest/doctest.h>

#include <pipeline/toy_denoiser.hpp>

#include "threads.hpp"

using namespace hypersd;

namespace {

using Fake = distill::FakeScore<toy::Denoiser>;

toy::Denoiser network(std::uint64_t seed) {
  toy::Denoiser net;
  nn::init_parameters(net, seed, "toy");
  return net;
}

struct Outcome {
  std::vector<double> losses, fake;  // losses of the student; final weights of the fake score
};

/// Where in a step a rank fails: before it learns, after the first of two averages of gradients, after it has learned,
/// or after its loss.
enum class Fails { before, within, after, late };

/// Distribution matching as a task whose fake score learns, on a rank's part of the batch.
struct Matching {
  static constexpr std::int64_t size = 24;
  dist::Group group;
  bool together;
  std::int64_t fail_at;
  Fails fails;
  const toy::Denoiser& student;
  const distill::Dmd<Fake>& dmd;
  diffusion::AnalyticDenoiser<> truth = toy::exact();
  std::int64_t now = 0;
  diffusion::Batch<double, Cpu, diffusion::Unconditional> data{};
  dist::Slice mine = dist::slice(group, size);

  void fail_in(Fails where) const {
    if (where == fails && now == fail_at && group.rank() == 1) fail<IoError>("the data of this rank are gone");
  }
  void prepare(std::int64_t step) {
    now = step;
    fail_in(Fails::before);
    data.x0 = truth.data<double>(size, stream(5, "data", static_cast<std::uint64_t>(step)))
                  .slice(mine.first, mine.first + mine.count);
  }
  template <class Average>
  void learn(const Average& average) {
    const auto whole = [&](const auto& parameters) {
      if (together) average(parameters);
      fail_in(Fails::within);
    };
    dmd.learn(student, truth, student, data, {5, now, mine.first}, whole);
  }
  Var<double> loss() const {
    fail_in(Fails::after);
    const auto result = dmd.loss(student, truth, student, data, {5, now, mine.first});
    fail_in(Fails::late);
    return result.loss;
  }
};
static_assert(pipeline::LearningTask<Matching>);

/// Six steps of it. `fail_at`: rank 1 throws in that step. Not `together`, the fake score sees its rank's part alone.
Outcome matched(dist::Group group, bool together = true, std::int64_t fail_at = -1, Fails fails = Fails::before) {
  const auto table = toy::table();
  toy::Denoiser student = network(7);
  Fake fake(network(8 + static_cast<std::uint64_t>(group.rank())), table, 1e-2);
  const distill::Dmd<Fake> dmd(table, &fake, {.learn_per_update = 2});
  pipeline::TrainOptions options{.phase = "dmd", .steps = 6, .learning_rate = optim::Constant{3e-3}};
  options.log_every = 1;
  options.group = group;
  pipeline::Trainer<double> trainer(options, optim::parameters_of(student));
  trainer.state().add("", dmd);  // the fake score: all ranks begin with rank 0's
  Outcome out;
  pipeline::Hooks hooks;
  hooks.log = [&](const records::LogRow& row) { out.losses.push_back(row.loss); };
  trainer.run(Matching{group, together, fail_at, fails, student, dmd}, {}, hooks);
  fake.visit_state(
      [&](const std::string&, const auto& tensor) {
        for (const auto v : tensor.to_vector()) out.fake.push_back(static_cast<double>(v));
      },
      "");
  return out;
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() && !a.empty() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::max(1e-3, std::abs(a[i])));
  return worst;
}

}  // namespace

TEST_CASE("a fake score in a task that learns, learns from the whole batch") {
  const Outcome one = matched({});
  for (const int n : {2, 3}) {
    std::vector<Outcome> ranks(static_cast<std::size_t>(n));
    const auto said =
        as_ranks(n, [&](dist::Group group) { ranks[static_cast<std::size_t>(group.rank())] = matched(group); });
    for (const auto& message : said) CHECK(message == "");
    CHECK(difference(one.losses, ranks[0].losses) < 1e-6);
    for (const Outcome& rank : ranks) CHECK(difference(one.fake, rank.fake) < 1e-6);
  }
  // With its own gradients it sees its part of the batch only: the comparison sees something.
  std::vector<Outcome> apart(2);
  (void)as_ranks(2, [&](dist::Group group) { apart[static_cast<std::size_t>(group.rank())] = matched(group, false); });
  CHECK(difference(one.fake, apart[0].fake) > 1e-3);
}

TEST_CASE("a rank that fails before, within or after such an update ends the step on all") {
  for (const Fails fails : {Fails::before, Fails::within, Fails::after, Fails::late}) {
    CAPTURE(static_cast<int>(fails));
    const auto said = as_ranks(3, [&](dist::Group group) { (void)matched(group, true, 3, fails); });
    const std::string mine =
        "phase 'dmd', rank 1 of 3, step 4 of 6: the data of this rank are gone; no checkpoint was written yet";
    CHECK(said == std::vector<std::string>{"rank 1 of 3 failed: " + mine, mine, "rank 1 of 3 failed: " + mine});
  }
}
