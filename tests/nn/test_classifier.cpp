// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/classifier.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE("classifier: sizes and shapes") {
  nn::Classifier<float> net(nn::ClassifierConfig{});
  nn::init_parameters(net, 1);
  CHECK(nn::parameter_count(net) == 168914);
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({3, 32, 32, 1}, stream(1, "x")));
  CHECK(net.features(x).shape() == Shape{3, 64});
  CHECK(net(x).shape() == Shape{3, 10});
}

TEST_CASE("classifier: finite differences") {
  nn::Classifier<double> net(
      nn::ClassifierConfig{.classes = 3, .channels = {4, 4}, .features = 4, .norm_num_groups = 2});
  nn::init_parameters(net, 1);
  const auto result = testing::gradcheck([&](const std::vector<Var<double>>& in) { return net(in[0]); },
                                         {ops::normal<double>({2, 6, 5, 1}, stream(1, "x"))}, 1e-5);
  CHECK_MESSAGE(result.ok, result.message);
}
