// SPDX-License-Identifier: Apache-2.0
#include <hypersd/dist/group.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/dist/gradients.hpp>
#include <hypersd/dist/run.hpp>

#include "threads.hpp"

using namespace hypersd;
using dist::Group;
using dist::Reduce;

static_assert(dist::Communicator<dist::Single> && dist::Communicator<Group> && dist::Communicator<Threads>);
static_assert(!dist::Communicator<int> && !dist::DeviceCommunicator<Threads>);
static_assert(dist::DeviceCommunicator<DeviceThreads>);

TEST_CASE("one process: values stay the same") {
  dist::Single single;
  for (const Group& group : {Group(), Group(single)}) {
    std::vector<double> x{1, 2};
    group.all_reduce(std::span<double>(x), Reduce::mean);
    group.barrier();
    CHECK(x == std::vector<double>{1, 2});
    CHECK((group.rank() == 0 && group.size() == 1 && group.root()));
    CHECK((group.any(true) && !group.any(false)));
    CHECK((group.first(true) == 0 && group.first(false) == -1));
    CHECK(group.shared(std::string("text")) == "text");
    CHECK(dist::slice(group, 7) == dist::Slice{0, 7});
    CHECK_THROWS_WITH_AS(group.on_root([] { fail<IoError>("as it is"); }), "as it is", IoError);
  }
  CHECK(dist::run(single, [] {}) == 0);
  CHECK(dist::run(single, [] { return 3; }) == 3);
  CHECK(dist::run(single, [] { fail<IoError>("expected in this test"); }) == 1);
}

TEST_CASE("sums, means, votes and values of rank 0") {
  const auto said = as_ranks(4, [](Group group) {
    const auto r = static_cast<float>(group.rank());
    const auto x = Tensor<float>::from(Shape{2}, {r, 1});
    group.all_reduce(x, Reduce::sum);
    CHECK(x.to_vector() == std::vector<float>{6, 4});
    group.all_reduce(x, Reduce::mean);
    CHECK(x.to_vector() == std::vector<float>{6, 4});
    CHECK(group.any(group.rank() == 3));
    CHECK(!group.any(false));
    CHECK(group.first(group.rank() >= 2) == 2);
    CHECK(group.first(false) == -1);
    CHECK(group.shared(10 + group.rank()) == 10);
    CHECK(group.shared(std::string(static_cast<std::size_t>(group.rank()), 'x'), 3) == "xxx");
    CHECK(dist::slice(group, 8) == dist::Slice{2 * group.rank(), 2});
    CHECK_THROWS_WITH_AS(dist::slice(group, 6), doctest::Contains("6 samples cannot be cut into 4"), OptionError);
    group.require_same("steps", 5);
    CHECK_THROWS_WITH_AS(group.require_same("steps", group.rank() == 2 ? 4 : 5),
                         doctest::Contains("the ranks differ in steps"), OptionError);
  });
  for (const auto& message : said) CHECK(message == "");
}

TEST_CASE("an exception on rank 0 is thrown on all ranks, with its rank") {
  const auto said = as_ranks(2, [](Group group) { group.on_root([] { fail<IoError>("no space"); }); });
  CHECK(said == std::vector<std::string>{"no space", "rank 0 of 2 failed: no space"});
}

TEST_CASE("run writes the rank and returns an exit code") {
  Threads::Hub hub(2);
  Threads one(hub, 1);
  CHECK(dist::run(one, []() -> int { fail<IoError>("expected in this test"); }) == 1);
}

TEST_CASE("gradients: means, absent ones, failures; earlier gradients are not overwritten") {
  const auto said = as_ranks(2, [](Group group) {
    const bool first = group.rank() == 0;
    optim::ParameterList<double> list{{"both", Var<double>(Tensor<double>::ones(Shape{2, 1}), true)},
                                      {"none", Var<double>(Tensor<double>::ones(Shape{3}), true)},
                                      {"one", Var<double>(Tensor<double>::ones(Shape{1}), true)}};
    dist::GradientMean<double> mean(list);
    const auto give = [&](double value) {
      optim::zero_grad(list);
      list[0].var.set_grad(Tensor<double>::full(Shape{2, 1}, first ? value : 3 * value));
      if (!first) list[2].var.set_grad(Tensor<double>::full(Shape{1}, value));
    };
    give(1);
    auto step = mean(group, first ? 10.0 : 20.0);
    CHECK((step.loss == 15 && step.failed == -1));
    CHECK(list[0].var.grad().to_vector() == std::vector<double>{2, 2});
    CHECK(list[0].var.grad().shape() == Shape{2, 1});
    CHECK(!list[1].var.grad().defined());
    CHECK(list[2].var.grad().to_vector() == std::vector<double>{0.5});

    const auto held = list[0].var.grad();
    give(2);
    step = mean(group, 0.0);
    CHECK(held.to_vector() == std::vector<double>{2, 2});
    CHECK(list[0].var.grad().to_vector() == std::vector<double>{4, 4});

    give(1);
    step = mean(group, 0.0, !first);
    CHECK(step.failed == 1);
  });
  for (const auto& message : said) CHECK(message == "");
}

TEST_CASE("counts that do not fit in one call are split") {
  std::vector<std::pair<std::int64_t, std::int64_t>> pieces;
  dist::in_pieces(10, 4, [&](std::int64_t begin, std::int64_t n) { pieces.emplace_back(begin, n); });
  CHECK(pieces == std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 4}, {4, 4}, {8, 2}});
  dist::in_pieces(0, 4, [&](std::int64_t, std::int64_t) { CHECK(false); });
}
