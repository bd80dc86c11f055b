// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/autoencoder_strips.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/ops/random.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

nn::Autoencoder<float> small_autoencoder() {
  nn::Autoencoder<float> net({3, 3, 4, {8, 12, 16}, 2, 0, true, true, 4, 1e-6, 1});
  nn::init_parameters(net, 3);
  return net;
}

/// Largest difference of 8-bit images in [-1, 1], in levels of 255.
double levels(const Tensor<float>& a, const Tensor<float>& b) {
  double worst = 0;
  REQUIRE(a.shape() == b.shape());
  for (std::int64_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}) * 127.5);
  return worst;
}

}  // namespace

TEST_CASE("autoencoder in strips: the decoder's image, whatever the height of the strips") {
  const auto net = small_autoencoder();
  const auto z = ops::normal<float>({2, 9, 7, 4}, stream(1, "z"));
  const autograd::NoGrad guard;
  const auto whole = net.decode(Var<float>(z)).value();
  double spread = 0;
  for (const float v : whole.span()) spread = std::max(spread, std::abs(double{v}));
  CHECK(spread > 0.1);
  for (const std::int64_t elements : {1, 500, 3000, 1 << 20}) {
    CAPTURE(elements);
    CHECK(levels(nn::decode_in_strips(net, z, elements), whole) < 0.01);  // seams would be above 2
  }
}

TEST_CASE("autoencoder in strips: memory is bounded by the strips, and no matrix of patches is made") {
  const auto net = small_autoencoder();
  const auto z = ops::normal<float>({1, 40, 40, 4}, stream(1, "z"));
  constexpr std::size_t largest = std::size_t{160} * 160 * 12 * sizeof(float);  // of the feature maps
  const auto peak = [&](std::int64_t elements) {                                // what the pool keeps afterwards
    Memory<Cpu>::release_pool();
    (void)nn::decode_in_strips(net, z, elements);
    return detail::CpuPool::instance().pooled();
  };
  const std::size_t narrow = peak(2000), whole = peak(1 << 24);
  CHECK(narrow < 4 * largest);  // the patches of one 3x3 convolution alone take 9
  CHECK(whole > narrow + largest);
}

TEST_CASE("autoencoder in strips: the encoder's moments, odd sizes too") {
  const auto net = small_autoencoder();
  const autograd::NoGrad guard;
  for (const Shape& shape : {Shape{2, 24, 20, 3}, Shape{1, 23, 19, 3}, Shape{1, 8, 8, 3}}) {
    const auto x = ops::normal<float>(shape, stream(1, "x"));
    const auto whole = net.encode(Var<float>(x));
    for (const std::int64_t elements : {1, 700, 1 << 20}) {
      CAPTURE(elements);
      const auto parts = nn::encode_in_strips(net, x, elements);
      CHECK(golden::File::difference(parts.mean.value(), whole.mean.value()) < 1e-5);
      CHECK(golden::File::difference(parts.logvar.value(), whole.logvar.value()) < 1e-5);
    }
  }
}

TEST_CASE("autoencoder in strips: norms have the statistics of the whole image") {
  // Latents whose level rises from top to bottom: a strip on its own has other statistics than the image.
  const auto net = small_autoencoder();
  Tensor<float> z = ops::normal<float>({1, 16, 4, 4}, stream(1, "z"));
  for (std::int64_t i = 0; i < z.size(); ++i) z[i] += 0.5F * static_cast<float>(i / 16);
  const autograd::NoGrad guard;
  const auto whole = net.decode(Var<float>(z)).value();
  CHECK(levels(nn::decode_in_strips(net, z, 400), whole) < 0.01);
  const auto lower = net.decode(Var<float>(z.reshape({16, 16}).slice(8, 16).reshape({1, 8, 4, 4}))).value();
  const auto half = whole.reshape({whole.dim(1), whole.size() / whole.dim(1)}).slice(32, 64).reshape(lower.shape());
  CHECK(levels(lower, half) > 2);  // this is what tiles with statistics of their own would show
}

TEST_CASE("autoencoder in strips: refusals") {
  const auto net = small_autoencoder();
  CHECK_THROWS_AS(nn::decode_in_strips(net, Tensor<float>(Shape{4, 4, 4})), ShapeError);
  CHECK_THROWS_AS(nn::encode_in_strips(net, Tensor<float>(Shape{0, 8, 8, 3})), ShapeError);
  CHECK_THROWS_AS(nn::decode_in_strips(net, Tensor<float>(Shape{1, 4, 4, 4}), 0), OptionError);
}
