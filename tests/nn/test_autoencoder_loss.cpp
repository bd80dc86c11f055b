// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/autoencoder_loss.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/testing/gradcheck.hpp>

using namespace hypersd;

TEST_CASE("Gradients of the autoencoder's parts") {
  const Stream s = stream(1, "losses");
  const auto a = ops::normal<double>(Shape{2, 3, 4, 1}, s), b = ops::normal<double>(Shape{2, 3, 4, 1}, s, 100),
             noise = ops::normal<double>(Shape{2, 3, 4, 1}, s, 200);
  CHECK(testing::gradcheck([&](auto v) { return autograd::map(nn::Reparameterise{}, v[0], v[1], noise); }, {a, b}));
  CHECK(testing::gradcheck([](auto v) { return autograd::map(nn::GaussianKl{}, v[0], v[1]); }, {a, b}));
  CHECK(testing::gradcheck([](auto v) { return nn::edge_distance(v[0], v[1]); }, {a, b}));
}

TEST_CASE("The divergence of a unit Gaussian from itself is 0, of N(1, 1) it is a half") {
  CHECK(nn::GaussianKl{}(0.0, 0.0) == 0.0);
  CHECK(nn::GaussianKl{}(1.0, 0.0) == 0.5);
}

TEST_CASE("Edges see differences, not levels, in both directions") {
  Tensor<double> flat = Tensor<double>::full(Shape{1, 2, 2, 1}, 0.3), step = flat.clone();
  const Var<double> x(flat), raised(Tensor<double>::full(Shape{1, 2, 2, 1}, 0.9));
  CHECK(nn::edge_distance(x, raised).item() == 0.0);
  step[1] = step[3] = 1.3;  // the right column
  CHECK(nn::edge_distance(x, Var<double>(step)).item() ==
        doctest::Approx(1.0));  // two of two horizontal, none of two vertical
}
