// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/text_encoder.hpp>

#include <hypersd/nn/init.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE("text encoder: CLIP's parameter count and names") {
  const nn::TextEncoder<float> clip(nn::TextEncoderConfig::clip_large());
  CHECK(nn::count_parameters(clip) == nn::ParameterCount{123060480, 196});
  nn::TextEncoder<float> tiny(nn::TextEncoderConfig{.layers = 1});
  nn::init_parameters(tiny, 1);
  const auto state = nn::state_dict(tiny);
  for (const char* name : {"embeddings.token_embedding.weight", "encoder.layers.0.self_attn.q_proj.bias",
                           "encoder.layers.0.mlp.fc2.weight", "final_layer_norm.bias"})
    CHECK(state.count(std::string("text_model.") + name) == 1);
}

TEST_CASE("text encoder: without layers it is the normalized sum of token and position embeddings") {
  nn::TextEncoder<double> net(nn::TextEncoderConfig{.vocabulary = 5, .max_length = 4, .channels = 6});
  nn::init_parameters(net, 1);
  const auto ids = Tensor<std::int32_t>::from({2, 3}, {0, 4, 2, 2, 2, 0});
  const auto h = net(ids);
  CHECK(h.shape() == Shape{2, 3, 6});
  const auto states = net.hidden_states(ids);
  REQUIRE(states.size() == 1);
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t l = 0; l < 3; ++l)
      for (std::int64_t c = 0; c < 6; ++c)
        CHECK(states[0].value()[(b * 3 + l) * 6 + c] ==
              doctest::Approx(net.token_embedding.weight.value()[ids[b * 3 + l] * 6 + c] +
                              net.position_embedding.weight.value()[l * 6 + c]));
  autograd::backward(autograd::mean(autograd::mul(h, h)));
  CHECK(net.token_embedding.weight.grad().defined());
  CHECK(net.position_embedding.weight.grad().shape() == Shape{4, 6});
  CHECK_THROWS_AS(net(Tensor<std::int32_t>::zeros({1, 5})), ShapeError);
  CHECK_THROWS_AS(net(Tensor<std::int32_t>::zeros({3})), ShapeError);
}

TEST_CASE("text encoder: causal layers do not depend on later tokens") {
  for (const bool causal : {true, false}) {
    nn::TextEncoder<float> net(nn::TextEncoderConfig{
        .vocabulary = 9, .channels = 8, .layers = 2, .heads = 2, .causal = causal, .quick_gelu = true});
    nn::init_parameters(net, 1);
    const auto first = net(Tensor<std::int32_t>::from({1, 3}, {1, 2, 3})).value();
    const auto second = net(Tensor<std::int32_t>::from({1, 3}, {1, 2, 8})).value();
    const bool same =
        golden::File::difference(first.reshape({3, 8}).slice(0, 2), second.reshape({3, 8}).slice(0, 2)) == 0;
    CHECK(same == causal);
  }
}

TEST_CASE("text encoder: OpenCLIP bigG's parameter count, and gradients of the pooled text") {
  const nn::TextEncoder<float> big(nn::TextEncoderConfig::open_clip_big());
  CHECK(nn::count_parameters(big) == nn::ParameterCount{694659840, 517});
  nn::TextEncoder<double> net(
      nn::TextEncoderConfig{.vocabulary = 5, .max_length = 4, .channels = 6, .projection_dim = 3, .eos_token_id = 4});
  nn::init_parameters(net, 1);
  const auto ids = Tensor<std::int32_t>::from({3, 4}, {0, 4, 2, 4, 1, 1, 2, 4, 1, 2, 3, 0});
  const auto last = net(ids);
  const auto pooled = net.pooled(last, ids);
  REQUIRE(pooled.shape() == Shape{3, 3});
  const std::array<std::int64_t, 3> at{1, 3, 0};  // the first end token of each row; the last row has none
  for (std::int64_t b = 0; b < 3; ++b)
    for (std::int64_t o = 0; o < 3; ++o) {
      double sum = 0;
      for (std::int64_t c = 0; c < 6; ++c)
        sum += net.text_projection->weight.value()[o * 6 + c] *
               last.value()[(b * 4 + at[static_cast<std::size_t>(b)]) * 6 + c];
      CHECK(pooled.value()[b * 3 + o] == doctest::Approx(sum));
    }
  autograd::backward(autograd::sum(pooled));
  CHECK(net.token_embedding.weight.grad().defined());
  CHECK(net.text_projection->weight.grad().shape() == Shape{3, 6});
  net.config.eos_token_id = 2;  // older files: the largest id
  CHECK(net.pooled(last, ids).value()[6] != pooled.value()[6]);
  CHECK_THROWS_AS((void)net.pooled(last, Tensor<std::int32_t>::zeros({2, 4})), ShapeError);
}
