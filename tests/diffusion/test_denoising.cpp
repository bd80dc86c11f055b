// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/denoising.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/schedules/scaled_linear.hpp>

using namespace hypersd;

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
  CHECK(diffusion::denoising_loss(Exact{0.7}, process, x0, 0, 3, 0).item() < 1e-20);
  const double none = diffusion::denoising_loss(Zero{}, process, x0, 0, 3, 0).item();
  CHECK(none == doctest::Approx(1.0).epsilon(0.08));  // 4096 squares of unit normals: five standard errors are 0.11
  CHECK(none == diffusion::denoising_loss(Zero{}, process, x0, 0, 3, 0).item());
  CHECK(none != diffusion::denoising_loss(Zero{}, process, x0, 0, 3, 1).item());
  // With the data as target, predicting nothing costs 0.49.
  CHECK(diffusion::denoising_loss(Zero{}, process.with<diffusion::X0>(), x0, 0, 3, 0).item() == doctest::Approx(0.49));
}
