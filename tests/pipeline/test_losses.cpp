// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/autoencoder_loss.hpp>
#include <hypersd/pipeline/denoising.hpp>

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("Gradients of the autoencoder's parts") {
  const Stream s = stream(1, "losses");
  const auto a = ops::normal<double>(Shape{2, 3, 4, 1}, s), b = ops::normal<double>(Shape{2, 3, 4, 1}, s, 100),
             noise = ops::normal<double>(Shape{2, 3, 4, 1}, s, 200);
  CHECK(
      testing::gradcheck([&](auto v) { return autograd::map(pipeline::Reparameterise{}, v[0], v[1], noise); }, {a, b}));
  CHECK(testing::gradcheck([](auto v) { return autograd::map(pipeline::GaussianKl{}, v[0], v[1]); }, {a, b}));
  CHECK(testing::gradcheck([](auto v) { return pipeline::edge_distance(v[0], v[1]); }, {a, b}));
}

TEST_CASE("The divergence of a unit Gaussian from itself is 0, of N(1, 1) it is a half") {
  CHECK(pipeline::GaussianKl{}(0.0, 0.0) == 0.0);
  CHECK(pipeline::GaussianKl{}(1.0, 0.0) == 0.5);
}

TEST_CASE("Edges see differences, not levels, in both directions") {
  Tensor<double> flat = Tensor<double>::full(Shape{1, 2, 2, 1}, 0.3), step = flat.clone();
  const Var<double> x(flat), raised(Tensor<double>::full(Shape{1, 2, 2, 1}, 0.9));
  CHECK(pipeline::edge_distance(x, raised).item() == 0.0);
  step[1] = step[3] = 1.3;  // the right column
  CHECK(pipeline::edge_distance(x, Var<double>(step)).item() ==
        doctest::Approx(1.0));  // two of two horizontal, none of two vertical
}

namespace {
/// Predicts nothing: the loss is then the mean square of the target.
struct Zero {
  Var<double> operator()(const Var<double>& x, const Tensor<double>&, int) const {
    return Var<double>(Tensor<double>::zeros(x.shape()));
  }
};
/// The exact noise prediction for data that are all c: (x - alpha c) / sigma.
struct Exact {
  double c;
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, int) const {
    const auto table = diffusion::noise_table<diffusion::ScaledLinear>();
    Tensor<double> a(t.shape()), b(t.shape());
    for (std::int64_t i = 0; i < t.size(); ++i) {
      const int time = static_cast<int>(t[i]);
      a[i] = 1 / table.sigma(time);
      b[i] = -table.alpha(time) / table.sigma(time);
    }
    return autograd::combine_samples(a, x, b, Var<double>(Tensor<double>::full(x.shape(), c)));
  }
};
}  // namespace

TEST_CASE("Pretraining: the exact prediction has no loss, none at all has the noise's variance; seeds reproduce") {
  const diffusion::Discrete<> process = diffusion::noise_table<diffusion::ScaledLinear>();
  const auto x0 = Tensor<double>::full(Shape{256, 16}, 0.7);
  CHECK(pipeline::denoising_loss(Exact{0.7}, process, x0, 0, 3, 0).item() < 1e-20);
  const double none = pipeline::denoising_loss(Zero{}, process, x0, 0, 3, 0).item();
  CHECK(none == doctest::Approx(1.0).epsilon(0.08));  // 4096 squares of unit normals: five standard errors are 0.11
  CHECK(none == pipeline::denoising_loss(Zero{}, process, x0, 0, 3, 0).item());
  CHECK(none != pipeline::denoising_loss(Zero{}, process, x0, 0, 3, 1).item());
  // With the data as target, predicting nothing costs 0.49.
  CHECK(pipeline::denoising_loss(Zero{}, process.with<diffusion::X0>(), x0, 0, 3, 0).item() == doctest::Approx(0.49));
}
