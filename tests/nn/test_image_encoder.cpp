// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/image_encoder.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE("image encoder: parameters of CLIP ViT-L/14, without memory for them") {
  // transformers' CLIPVisionModelWithProjection of openai/clip-vit-large-patch14: 303,966,208 and 768 x 1024 projected
  CHECK(nn::count_parameters(nn::ImageEncoder<float>(nn::ImageEncoderConfig{})).elements == 303966208);
}

TEST_CASE_TEMPLATE("image encoder: embeddings and gradients of transformers, pixels resized as torch does", T, float,
                   double) {
  const golden::File file("image_encoder");
  nn::ImageEncoder<T> net(nn::ImageEncoderConfig{.image_size = 12,
                                                 .patch_size = 4,
                                                 .channels = 16,
                                                 .layers = 2,
                                                 .heads = 4,
                                                 .mlp_channels = 24,
                                                 .projection = 10});
  file.load(net);
  for (const std::string kind : {"same", "shrink", "grow"}) {
    CAPTURE(kind);
    const Var<T> pixels(file.image<T>(kind + ".pixels"), true);
    const auto given = nn::clip_pixels(pixels, 12);
    CHECK(file.difference(given.value(), file.image<T>(kind + ".given")) < 2e-6);
    const auto embeds = net(given);
    CHECK(file.difference(embeds.value(), file.get<T>(kind + ".embeds")) < 1e-5);
    autograd::backward(embeds, file.get<T>(kind + ".weight"));
    CHECK(file.difference(pixels.grad(), file.image<T>(kind + ".gradient")) < 1e-5);
  }
}

TEST_CASE("image encoder: wrong sizes name what is needed") {
  CHECK_THROWS_WITH_AS((nn::ImageEncoder<float>{nn::ImageEncoderConfig{.image_size = 13, .patch_size = 4}}),
                       doctest::Contains("patches of 4 in 13 pixels"), OptionError);
  nn::ImageEncoder<float> net(nn::ImageEncoderConfig{
      .image_size = 8, .patch_size = 4, .channels = 8, .layers = 1, .heads = 2, .mlp_channels = 8, .projection = 4});
  CHECK_THROWS_WITH_AS(net(Var<float>(Tensor<float>::zeros({1, 8, 6, 3}))), doctest::Contains("[B, 8, 8, 3] needed"),
                       ShapeError);
}
