// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/image_reward.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

nn::BlipConfig small() {
  return {.image_size = 12,
          .patch_size = 4,
          .image_channels = 16,
          .image_layers = 2,
          .image_heads = 4,
          .image_mlp = 20,
          .vocabulary = 20,
          .max_length = 9,
          .channels = 12,
          .layers = 2,
          .heads = 3,
          .mlp = 18};
}

}  // namespace

TEST_CASE("image reward: the published sizes, without memory for them") {
  const nn::ImageReward<float> net{nn::BlipConfig{}};
  // ViT-L/16 without a classifier has 303,301,632; BERT-base with attention to the image; the head 927,969.
  const std::int64_t c = 1024, vision = c + 197 * c + 768 * c + c + 24 * (12 * c * c + 13 * c) + 2 * c, w = 768,
                     text = 30524 * w + 512 * w + 2 * w +
                            12 * (4 * (w * w + w) + 2 * (w * w + w) + 2 * (c * w + w) + 8 * w * w + 5 * w + 6 * w);
  CHECK(vision == 303301632);
  CHECK(nn::count_parameters(net).elements == vision + text + 927969);
}

TEST_CASE_TEMPLATE("image reward: states and gradients of transformers' BLIP, a text without padding", T, float,
                   double) {
  const golden::File file("image_reward");
  nn::BlipEncoder<T> net(small());
  file.load(net);
  const Var<T> pixels(file.image<T>("pixels"), true);
  const auto image = net.encode_image(nn::clip_pixels(pixels, 12));
  CHECK(file.difference(image.value(), file.get<T>("image")) < 1e-5);
  const auto first = net.first_token(image, {{2, 7, 11, 5, 3}, {2, 4, 3}});
  CHECK(file.difference(first.value(), file.get<T>("first")) < 1e-5);
  autograd::backward(first, file.get<T>("weight"));
  CHECK(file.difference(pixels.grad(), file.image<T>("gradient")) < 1e-5);
}

TEST_CASE("image reward: sizes and texts that do not fit are named") {
  CHECK_THROWS_WITH_AS((nn::BlipEncoder<float>{nn::BlipConfig{.image_size = 30}}),
                       doctest::Contains("patches of 16 in 30 pixels"), OptionError);
  nn::BlipEncoder<float> net(small());
  nn::init_parameters(net, 1);
  const auto image = net.encode_image(Var<float>(Tensor<float>::zeros({1, 12, 12, 3})));
  CHECK_THROWS_WITH_AS(net.encode_image(Var<float>(Tensor<float>::zeros({1, 12, 8, 3}))),
                       doctest::Contains("[B, 12, 12, 3] needed"), ShapeError);
  CHECK_THROWS_WITH_AS(net.first_token(image, {{1}, {2}}), doctest::Contains("2 texts for 1 images"), ShapeError);
  CHECK_THROWS_WITH_AS(net.first_token(image, {{}}), doctest::Contains("a text of 0 tokens"), ShapeError);
  CHECK_THROWS_WITH_AS(net.first_token(image, {std::vector<std::int32_t>(10, 1)}), doctest::Contains("10 tokens"),
                       ShapeError);
}
