// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/discriminator.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE("discriminator: one mean logit per head, features get gradients") {
  nn::Discriminator<double> net(nn::DiscriminatorConfig{.feature_channels = {3, 4}, .hidden = 4, .norm_num_groups = 2});
  nn::init_parameters(net, 1);
  const auto a = ops::normal<double>({2, 4, 4, 3}, stream(1, "a")),
             b = ops::normal<double>({2, 2, 2, 4}, stream(1, "b"));
  const std::vector<Var<double>> features{Var<double>(a), Var<double>(b)};
  const auto maps = net.maps(features);
  CHECK(maps[0].shape() == Shape{2, 4, 4, 1});
  CHECK(maps[1].shape() == Shape{2, 2, 2, 1});
  const auto logits = net(features);
  CHECK(logits.shape() == Shape{2, 2});
  double mean = 0;
  for (std::int64_t i = 0; i < 4; ++i) mean += maps[1].value()[4 + i] / 4;
  CHECK(logits.value()[3] == doctest::Approx(mean));
  const auto result = testing::gradcheck([&](const std::vector<Var<double>>& in) { return net(in); }, {a, b}, 1e-5);
  CHECK_MESSAGE(result.ok, result.message);
  CHECK_THROWS_AS(net({features[0]}), ShapeError);
}
