// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/timestep_embedding.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE_TEMPLATE("sinusoidal features are those of diffusers", T, float, double) {
  const golden::File file("time_embedding");
  for (const std::int64_t dim : {8, 16, 320}) {
    const auto got = nn::SinusoidalFeatures<T>(dim)(file.get<T>("in.t"));
    const std::string d = std::to_string(dim);
    // Frequencies are rounded to the element type, and angles reach 999 radians.
    if (sizeof(T) == 4)
      CHECK(file.difference(got, file.get<T>("sinusoid." + d)) < 1e-4);
    else
      CHECK(file.difference(got, file.get<T>("sinusoid_exact." + d)) < 1e-12);
  }
}

TEST_CASE("sinusoidal features: order, shift and invalid options") {
  const auto t = Tensor<double>::from({1}, {2.0});
  const auto cosines = nn::SinusoidalFeatures<double>(4)(t), sines = nn::SinusoidalFeatures<double>(4, false)(t);
  CHECK(cosines[0] == doctest::Approx(std::cos(2.0)));
  CHECK(cosines[2] == doctest::Approx(std::sin(2.0)));
  CHECK(sines[0] == cosines[2]);
  CHECK(sines[3] == cosines[1]);
  CHECK(nn::SinusoidalFeatures<double>(4, true, 1)(t)[1] == doctest::Approx(std::cos(2.0 * 1e-4)));
  CHECK_THROWS_AS(nn::SinusoidalFeatures<double>(3), OptionError);
  CHECK_THROWS_AS(nn::SinusoidalFeatures<double>(2, true, 1), OptionError);
  CHECK_THROWS_AS(nn::SinusoidalFeatures<double>(4)(t.reshape({1, 1})), ShapeError);
}

TEST_CASE_TEMPLATE("timestep embedding: output and gradients of diffusers", T, float, double) {
  const golden::File file("time_embedding");
  nn::TimestepEmbedding<T> module(16, 32);
  file.load(module);
  const Var<T> x(file.get<T>("in.sinusoid"), true);
  const auto y = module(x);
  CHECK(file.difference(y.value(), file.get<T>("out")) < golden::tolerance<T>);
  autograd::backward(y, file.get<T>("grad_out"));
  CHECK(file.difference(x.grad(), file.get<T>("grad_in.sinusoid")) < golden::tolerance<T>);
  file.check_gradients(module, golden::tolerance<T>);
}
