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

/// Six steps of distribution matching, whose fake score learns within the step. `fail_at`: rank 1 throws in that step,
/// before or after the fake score's update.
Outcome matched(dist::Group group, bool together = true, std::int64_t fail_at = -1, bool late = false) {
  const std::int64_t batch = 24;
  const dist::Slice mine = dist::slice(group, batch);
  const auto table = toy::table();
  const auto truth = toy::exact();
  toy::Denoiser student = network(7);
  Fake fake(network(8 + static_cast<std::uint64_t>(group.rank())), table, 1e-2);
  const distill::Dmd<Fake> dmd(table, &fake, {.learn_per_update = 2});
  pipeline::TrainOptions options{.phase = "dmd", .steps = 6, .learning_rate = optim::Constant{3e-3}};
  options.log_every = 1;
  options.group = group;
  pipeline::Trainer<double> trainer(options, optim::parameters_of(student));
  if (together) trainer.state().add("fake.", fake);
  Outcome out;
  pipeline::Hooks hooks;
  hooks.log = [&](const pipeline::LogRow& row) { out.losses.push_back(row.loss); };
  trainer.run(
      [&](std::int64_t step) {
        const bool fails = step == fail_at && group.rank() == 1;
        if (fails && !late) fail<IoError>("the data of this rank are gone");
        const auto x0 = truth.data<double>(batch, stream(5, "data", static_cast<std::uint64_t>(step)))
                            .slice(mine.first, mine.first + mine.count);
        const diffusion::Batch<double, Cpu, diffusion::Unconditional> data{x0, {}};
        const auto result = dmd.loss(student, truth, student, data, {5, step, mine.first});
        if (fails) fail<IoError>("the data of this rank are gone");
        return result.loss;
      },
      {}, hooks);
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

TEST_CASE("a fake score that is trained within the step learns from the whole batch") {
  const Outcome one = matched({});
  for (const int n : {2, 3}) {
    std::vector<Outcome> ranks(static_cast<std::size_t>(n));
    const auto said =
        as_ranks(n, [&](dist::Group group) { ranks[static_cast<std::size_t>(group.rank())] = matched(group); });
    for (const auto& message : said) CHECK(message == "");
    CHECK(difference(one.losses, ranks[0].losses) < 1e-6);
    for (const Outcome& rank : ranks) CHECK(difference(one.fake, rank.fake) < 1e-6);
  }
  // A fake score that is not in the state learns from its part of the batch only: the comparison is able to fail.
  std::vector<Outcome> apart(2);
  (void)as_ranks(2, [&](dist::Group group) { apart[static_cast<std::size_t>(group.rank())] = matched(group, false); });
  CHECK(difference(one.fake, apart[0].fake) > 1e-3);
}

TEST_CASE("a rank that fails before or after such an update ends the step on all ranks") {
  for (const bool late : {false, true}) {
    CAPTURE(late);
    const auto said = as_ranks(3, [&](dist::Group group) { (void)matched(group, true, 3, late); });
    CHECK(said[0] == "rank 1 of 3 failed: the data of this rank are gone");
    CHECK(said[1] == "the data of this rank are gone");
    CHECK(said[2] == "rank 1 of 3 failed: the data of this rank are gone");
  }
}
