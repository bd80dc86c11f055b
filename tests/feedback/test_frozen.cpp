// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/frozen.hpp>

#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>

using namespace hypersd;

TEST_CASE("A frozen network shares its values, passes gradients on and takes none") {
  nn::Linear<double> net(3, 2);
  net.adapters.emplace_back("a", net.weight.shape(), 1, 1.0);
  nn::init_parameters(net, 1);
  auto still = feedback::frozen(net);
  const Var<double> x(Tensor<double>::ones(Shape{1, 3}), true);
  autograd::backward(autograd::sum(still(x)));
  CHECK(x.grad().defined());
  for (const auto& p : nn::parameters(still)) CHECK(!p.var.requires_grad());
  for (const auto& p : nn::parameters(net)) {
    CHECK(p.var.requires_grad());
    CHECK(!p.var.grad().defined());
  }
  net.bias.value()[0] += 1;  // as an optimiser does, in place
  CHECK(still(x).value()[0] == net(x).value()[0]);
  autograd::backward(autograd::sum(net(x)));
  CHECK(net.weight.grad().defined());
  CHECK(!still.weight.grad().defined());
}
