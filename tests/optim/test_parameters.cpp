// SPDX-License-Identifier: Apache-2.0
#include <hypersd/optim/parameters.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;

namespace {

struct Inner {
  Var<float> weight{Tensor<float>::ones(Shape{2, 3}), true};
  Var<float> bias;
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    f(prefix + "weight", weight);
    f(prefix + "bias", bias);
  }
};
struct Outer {
  using value_type = float;
  using device_type = Cpu;
  Inner a;
  Var<float> frozen{Tensor<float>::ones(Shape{5})};
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    a.visit(f, prefix + "a.");
    f(prefix + "frozen", frozen);
  }
};

}  // namespace

TEST_CASE("parameters_of lists what can be trained, by name, as handles") {
  Outer net;
  const auto list = optim::parameters_of<float>(net, "net.");
  REQUIRE(list.size() == 1);
  CHECK(list[0].name == "net.a.weight");
  CHECK(optim::parameter_count(list) == 6);
  net.a.weight.set_grad(Tensor<float>::ones(Shape{2, 3}));
  CHECK(list[0].var.grad().defined());
  optim::zero_grad(list);
  CHECK_FALSE(net.a.weight.grad().defined());
}

TEST_CASE("parameters_of lists frozen ones on request, never absent ones") {
  Outer net;
  const auto list = optim::parameters_of<float>(net, "", false);
  REQUIRE(list.size() == 2);
  CHECK(list[1].name == "frozen");
}

TEST_CASE("element type and device come from the network, and other lists of names and variables fit") {
  struct NamedVar {
    std::string name;
    Var<float> var;
  };
  Outer net;
  const optim::ParameterList<float> list = optim::parameters_of(net);
  CHECK(list.size() == 1);
  const auto same = optim::parameter_list(std::vector<NamedVar>{{"x", net.a.weight}});
  CHECK(same[0].name == "x");
  CHECK(same[0].var.node() == net.a.weight.node());
}
