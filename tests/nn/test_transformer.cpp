// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/transformer.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE_TEMPLATE("spatial transformer: output and gradients of diffusers' Transformer2DModel", T, float, double) {
  for (const bool linear : {false, true}) {
    INFO(linear);
    const golden::File file(linear ? "transformer_linear" : "transformer_conv");
    nn::Transformer2d<T> block({16, 2, linear ? 2 : 1, 12, linear, 4});
    file.load(block);
    const Var<T> x(file.image<T>("in.x"), true), context(file.get<T>("in.context"), true);
    const auto y = block(x, context);
    CHECK(file.difference(y.value(), file.image<T>("out")) < golden::tolerance<T>);
    autograd::backward(y, file.image<T>("grad_out"));
    CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < golden::tolerance<T>);
    CHECK(file.difference(context.grad(), file.get<T>("grad_in.context")) < golden::tolerance<T>);
    file.check_gradients(block, golden::tolerance<T>);
  }
}

TEST_CASE("transformer block: finite differences, with and without cross-attention") {
  for (const std::int64_t context : {0, 3}) {
    nn::BasicTransformerBlock<double> block(4, 2, context);
    nn::init_parameters(block, 5);
    const auto result = testing::gradcheck(
        [&](const std::vector<Var<double>>& in) { return block(in[0], in[1]); },
        {ops::normal<double>({2, 3, 4}, stream(1, "x")), ops::normal<double>({2, 2, 3}, stream(1, "tokens"))});
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("attention: heads that do not divide the channels throw") {
  CHECK_THROWS_AS(nn::Attention<float>(10, 4), OptionError);
  CHECK_THROWS_AS((nn::GroupNorm<float>(3, 8)), OptionError);
}
