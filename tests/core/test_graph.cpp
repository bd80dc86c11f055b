// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/graph.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/core/tensor.hpp>
#include <memory>

using namespace hypersd;

TEST_CASE("a graph on the CPU runs its work at each launch, on the contents at that time") {
  const auto x = Tensor<float>::full(Shape{3}, 2);
  Tensor<float> y;
  const Graph<Cpu> graph([&y, x] {
    y = x.clone();
    y[0] += 1;
  });
  CHECK(graph.defined());
  CHECK(graph.kernels() == 0);
  CHECK(!y.defined());  // nothing is done before the first launch
  graph.launch();
  CHECK(y.to_vector() == std::vector<float>{3, 2, 2});
  x.fill(5);
  const Graph<Cpu> copy = graph;
  copy.launch();
  CHECK(y.to_vector() == std::vector<float>{6, 5, 5});
}

TEST_CASE("a graph keeps its work, which need not be copyable, and lets exceptions through") {
  int runs = 0;
  auto held = std::make_shared<int>(1);
  {
    const Graph<Cpu> graph([&runs, mine = std::make_unique<int>(4), held] { runs += *mine; });
    CHECK(held.use_count() == 2);
    graph.launch();
    graph.launch();
    CHECK(runs == 8);
  }
  CHECK(held.use_count() == 1);
  const Graph<Cpu> bad([] { fail<OptionError>("no"); });
  CHECK_THROWS_AS(bad.launch(), OptionError);
  const Graph<Cpu> none;
  CHECK(!none.defined());
  CHECK_THROWS_WITH_AS(none.launch(), "launch of an empty graph", DeviceError);
}
