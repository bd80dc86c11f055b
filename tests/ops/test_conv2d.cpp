// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/conv2d.hpp>
//
#include <doctest/doctest.h>

#include <each_instruction_set.hpp>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

struct Size {
  Shape x, w;
  ops::Conv2dOptions options;
};

std::int64_t out_extent(std::int64_t in, std::int64_t kernel, ops::Conv2dOptions o) {
  return (in + o.pad + (o.pad_end < 0 ? o.pad : o.pad_end) - kernel) / o.stride + 1;
}
Shape out_shape(const Size& s) {
  return {s.x[0], out_extent(s.x[1], s.w[1], s.options), out_extent(s.x[2], s.w[2], s.options), s.w[0]};
}

/// Calls f(index in y, index in x, index in w) for every product of the definition.
template <class F>
void each_product(const Size& s, F&& f) {
  const Shape y = out_shape(s);
  for (std::int64_t b = 0; b < y[0]; ++b)
    for (std::int64_t i = 0; i < y[1]; ++i)
      for (std::int64_t j = 0; j < y[2]; ++j)
        for (std::int64_t o = 0; o < y[3]; ++o)
          for (std::int64_t p = 0; p < s.w[1]; ++p)
            for (std::int64_t q = 0; q < s.w[2]; ++q)
              for (std::int64_t c = 0; c < s.w[3]; ++c) {
                const std::int64_t r = i * s.options.stride - s.options.pad + p;
                const std::int64_t t = j * s.options.stride - s.options.pad + q;
                if (r < 0 || r >= s.x[1] || t < 0 || t >= s.x[2]) continue;
                f(((b * y[1] + i) * y[2] + j) * y[3] + o, ((b * s.x[1] + r) * s.x[2] + t) * s.x[3] + c,
                  ((o * s.w[1] + p) * s.w[2] + q) * s.w[3] + c);
              }
}

/// One of each kind: every branch of the code has a row here.
const std::vector<Size>& sizes() {
  static const std::vector<Size> all{
      {{2, 5, 4, 3}, {6, 3, 3, 3}, {1, 1}},         // keeps the size
      {{1, 7, 9, 2}, {3, 5, 5, 2}, {1, 2}},         // keeps the size, five wide
      {{2, 5, 7, 3}, {4, 3, 3, 3}, {2, 1}},         // halves, odd sides
      {{2, 6, 8, 3}, {4, 3, 3, 3}, {2, 1}},         // halves, even sides
      {{2, 6, 8, 3}, {4, 3, 3, 3}, {2, 0, 1}},      // halves, padded at the end only
      {{1, 5, 6, 2}, {3, 3, 3, 2}, {1, 0}},         // shrinks
      {{1, 5, 6, 2}, {3, 3, 3, 2}, {1, 2}},         // grows
      {{1, 5, 6, 2}, {3, 3, 3, 2}, {1, 2, 0}},      // keeps the size, all padding at the start
      {{1, 5, 6, 2}, {3, 3, 3, 2}, {1, 0, 2}},      // keeps the size, all padding at the end
      {{2, 3, 5, 4}, {6, 1, 1, 4}, {1, 0}},         // a matrix product
      {{2, 3, 5, 4}, {6, 1, 1, 4}, {2, 0}},         // every second position
      {{1, 3, 2, 4}, {5, 1, 1, 4}, {1, 1}},         // a rim of the bias
      {{1, 3, 2, 4}, {5, 1, 1, 4}, {1, 0, 1}},      // a rim at the end
      {{1, 6, 7, 2}, {3, 2, 3, 2}, {1, 1}},         // no square kernel
      {{1, 6, 7, 2}, {3, 4, 2, 2}, {3, 1}},         // no square kernel, stride 3
      {{1, 2, 3, 2}, {2, 2, 2, 2}, {1, 4}},         // patches beside the picture
      {{1, 1, 1, 1}, {1, 3, 3, 1}, {1, 1}},         // one pixel
      {{33, 2, 2, 5}, {7, 3, 3, 5}, {1, 1}},        // many images smaller than the kernel
      {{32, 2, 4, 70}, {18, 3, 3, 70}, {2, 1}},     // the same, halved
      {{34, 2, 2, 3}, {4, 3, 3, 3}, {1, 2, 0}},     // the same, all padding at the start
      {{40, 1, 1, 20}, {17, 5, 3, 20}, {1, 2}},     // the same, one pixel, no square kernel
      {{2, 5, 6, 16}, {17, 3, 3, 16}, {1, 1}},      // whole vectors of channels
      {{3, 33, 17, 24}, {8, 3, 3, 24}, {1, 1}},     // more patches than one task holds
      {{1, 41, 40, 30}, {5, 3, 3, 30}, {2, 1}},     // the same, scattered back
      {{1, 33, 40, 200}, {4, 3, 3, 200}, {1, 1}},   // several blocks of a patch
      {{1, 6, 5, 224}, {160, 3, 3, 224}, {1, 1}}};  // the summed axis in slabs
  return all;
}

template <class T>
void check_all(double tolerance) {
  for (const Size& s : sizes()) {
    const std::string name = "x " + s.x.str() + ", w " + s.w.str() + ", stride " + std::to_string(s.options.stride);
    CAPTURE(name);
    const auto x = normal<T>(s.x, "x"), w = normal<T>(s.w, "w"), bias = normal<T>({s.w[0]}, "b"),
               gy = normal<T>(out_shape(s), "gy");
    const auto y = Tensor<double>::zeros(out_shape(s)), gx = Tensor<double>::zeros(s.x),
               gw = Tensor<double>::zeros(s.w);
    auto d = [](T v) { return static_cast<double>(v); };
    each_product(s, [&](std::int64_t o, std::int64_t i, std::int64_t k) {
      y[o] += d(x[i]) * d(w[k]);
      gx[i] += d(gy[o]) * d(w[k]);
      gw[k] += d(gy[o]) * d(x[i]);
    });
    // Rounding errors of a sum grow with its terms; the bound is that of 270.
    const double terms = std::max(1.0, static_cast<double>(s.w.numel_from(1)) / 270);
    const double back = std::max(1.0, static_cast<double>(s.w.numel() / s.w[3]) / 270);
    const double spread = std::sqrt(static_cast<double>(gy.size() / s.w[0]));  // of a weight's gradient
    const auto with_bias = y.clone();
    for (std::int64_t i = 0; i < y.size(); ++i) with_bias[i] += d(bias[i % s.w[0]]);
    for_each_instruction_set([&](InstructionSet) {
      CHECK(numbers::distance(ops::conv2d(x, w, Tensor<T>{}, s.options), y) < tolerance * 20 * terms);
      CHECK(numbers::distance(ops::conv2d(x, w, bias, s.options), with_bias) < tolerance * 20 * terms);
      CHECK(numbers::distance(ops::conv2d_input_gradient(gy, w, s.x, s.options), gx) < tolerance * 20 * back);
      CHECK(numbers::distance(ops::conv2d_weight_gradient(gy, x, s.w, s.options), gw) < tolerance * (10 + 2 * spread));
    });
  }
}

}  // namespace

TEST_CASE("A convolution and its gradients equal their definition, in double") { check_all<double>(1e-14); }

TEST_CASE("A convolution and its gradients equal their definition, in float") { check_all<float>(4e-6); }

TEST_CASE("A kernel of one tap moves the picture") {
  const auto x = normal({2, 4, 5, 3}, "x");
  const auto w = Tensor<double>::zeros({3, 3, 3, 3});
  for (std::int64_t c = 0; c < 3; ++c) w[(c * 9 + 2) * 3 + c] = 1;  // tap (0, 2): from above, right
  const auto y = ops::conv2d(x, w, Tensor<double>{});
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const std::int64_t column = i / 3 % 5, row = i / 15 % 4;
    REQUIRE(y[i] == (row == 0 || column == 4 ? 0.0 : x[i - 15 + 3]));
  }
}

TEST_CASE("Convolutions are the same bits for any number of threads") {
  const auto x = normal<float>({3, 33, 17, 24}, "x"), w = normal<float>({8, 3, 3, 24}, "w"),
             bias = normal<float>({8}, "b"), point = normal<float>({8, 1, 1, 24}, "p");
  for (const std::int64_t stride : {1, 2}) {
    const ops::Conv2dOptions options{stride, 1};
    const auto gy = normal<float>(ops::conv2d(x, w, bias, options).shape(), "gy");
    CHECK(numbers::same_for_any_threads([&] { return ops::conv2d(x, w, bias, options); }));
    CHECK(numbers::same_for_any_threads([&] { return ops::conv2d_input_gradient(gy, w, x.shape(), options); }));
    CHECK(numbers::same_for_any_threads([&] { return ops::conv2d_weight_gradient(gy, x, w.shape(), options); }));
  }
  const auto deep = normal<float>({1, 6, 5, 224}, "d"), weights = normal<float>({160, 3, 3, 224}, "dw");
  CHECK(numbers::same_for_any_threads([&] { return ops::conv2d(deep, weights, Tensor<float>{}, {1, 1}); }));
  const auto gy = normal<float>({3, 33, 17, 8}, "gy");
  CHECK(numbers::same_for_any_threads([&] { return ops::conv2d(x, point, bias, {1, 0}); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::conv2d_weight_gradient(gy, x, point.shape(), {1, 0}); }));
}

TEST_CASE("Winograd's convolution and its gradients are within 1e-4 of double, and can be forbidden") {
  struct Forbidden {
    Forbidden() { ops::allow_winograd(false); }
    Forbidden(const Forbidden&) = delete;
    Forbidden& operator=(const Forbidden&) = delete;
    ~Forbidden() { ops::allow_winograd(true); }
  };
  const auto rms = [](const Tensor<double>& t) {
    double sum = 0;
    for (const double v : t.span()) sum += v * v;
    return std::sqrt(sum / static_cast<double>(t.size()));
  };
  // Strip by strip: tiles cut at both sides, a shape of Stable Diffusion's UNet, fewest tiles. Product by product:
  // several images, more padding than the kernel needs, weights that are transformed in two parts. Then few channels:
  // slabs of tiles, a last group that is not full, strips and tiles of the matmul that are not full, no padding, one
  // slab.
  for (const Size& s :
       {Size{{1, 30, 27, 128}, {144, 3, 3, 128}, {1, 1}}, Size{{1, 32, 32, 320}, {320, 3, 3, 320}, {1, 1}},
        Size{{2, 8, 7, 144}, {128, 3, 3, 144}, {1, 1}}, Size{{2, 26, 30, 128}, {128, 3, 3, 128}, {1, 2}},
        Size{{1, 40, 40, 544}, {544, 3, 3, 544}, {1, 1}}, Size{{2, 31, 32, 48}, {32, 3, 3, 48}, {1, 1}},
        Size{{67, 7, 8, 16}, {80, 3, 3, 16}, {1, 1}}, Size{{2, 18, 18, 64}, {16, 3, 3, 64}, {1, 0}}}) {
    const auto x = normal<float>(s.x, "x"), w = normal<float>(s.w, "w"), bias = normal<float>({s.w[0]}, "b"),
               gy = normal<float>(out_shape(s), "gy");
    const auto y = ops::conv2d(x.cast<double>(), w.cast<double>(), bias.cast<double>(), s.options);
    const auto gx = ops::conv2d_input_gradient(gy.cast<double>(), w.cast<double>(), s.x, s.options);
    const bool few_channels = s.x[3] < 128;
    const auto gw = few_channels ? ops::conv2d_weight_gradient(gy.cast<double>(), x.cast<double>(), s.w, s.options)
                                 : Tensor<double>{};
    for_each_instruction_set([&](InstructionSet) {
      const auto forward = [&] { return ops::conv2d(x, w, bias, s.options); };
      const auto backward = [&] { return ops::conv2d_input_gradient(gy, w, s.x, s.options); };
      CHECK(numbers::distance(forward(), y) < 1e-4 * rms(y));
      CHECK(numbers::distance(backward(), gx) < 1e-4 * rms(gx));
      if (s.x[0] >= 2) {
        CHECK(numbers::same_for_any_threads(forward));
        CHECK(numbers::same_for_any_threads(backward));
      }
      const auto weights = [&] { return ops::conv2d_weight_gradient(gy, x, s.w, s.options); };
      if (few_channels) {
        CHECK(numbers::distance(weights(), gw) < 1e-4 * rms(gw));
        CHECK(numbers::same_for_any_threads(weights));
      }
      const auto fast = forward(), fast_weights = few_channels ? weights() : Tensor<float>{};
      const Forbidden forbidden;
      const auto direct = forward();
      CHECK(numbers::distance(direct, y) < 1e-5 * rms(y));
      CHECK(numbers::distance(direct, fast) > 0);
      if (few_channels) CHECK(numbers::distance(weights(), fast_weights) > 0);
    });
  }
}

TEST_CASE("An empty batch gives an empty picture and no gradient") {
  const Tensor<float> x(Shape{0, 5, 4, 3}), gy(Shape{0, 5, 4, 2});
  const auto w = normal<float>({2, 3, 3, 3}, "w");
  CHECK(ops::conv2d(x, w, Tensor<float>{}).shape() == gy.shape());
  CHECK(ops::conv2d_input_gradient(gy, w, x.shape()).shape() == x.shape());
  CHECK(numbers::distance(ops::conv2d_weight_gradient(gy, x, w.shape()), Tensor<float>::zeros(w.shape())) == 0);
  const Shape point{2, 1, 1, 3};
  CHECK(numbers::distance(ops::conv2d_weight_gradient(gy, x, point, {1, 0}), Tensor<float>::zeros(point)) == 0);
}

TEST_CASE("Mismatched shapes throw and are named") {
  const auto x = normal({2, 5, 4, 3}, "x"), w = normal({6, 3, 3, 3}, "w"), gy = normal({2, 5, 4, 5}, "gy");
  const Tensor<double> none;
  CHECK_THROWS_WITH_AS(ops::conv2d(x, normal({6, 3, 3, 4}, "w"), none),
                       "conv2d: input [2, 5, 4, 3] (NHWC) and weight [6, 3, 3, 4] (OHWI)", ShapeError);
  CHECK_THROWS_WITH_AS(ops::conv2d(normal({5, 4, 3}, "x"), w, none),
                       "conv2d: input [5, 4, 3] (NHWC) and weight [6, 3, 3, 3] (OHWI)", ShapeError);
  CHECK_THROWS_WITH_AS(ops::conv2d(x, w, normal({3}, "b")), "conv2d: bias [3] for weight [6, 3, 3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::conv2d(x, normal({6, 7, 7, 3}, "w"), none),
                       "conv2d: padded input [2, 5, 4, 3] is smaller than weight [6, 7, 7, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::conv2d_input_gradient(gy, w, x.shape()),
                       "conv2d_input_gradient: shapes [2, 5, 4, 5] and [2, 5, 4, 6] differ", ShapeError);
  CHECK_THROWS_WITH_AS(ops::conv2d_weight_gradient(gy, x, w.shape()),
                       "conv2d_weight_gradient: shapes [2, 5, 4, 5] and [2, 5, 4, 6] differ", ShapeError);
  CHECK_THROWS_WITH_AS(ops::conv2d(x, w, none, {0, 1}), "conv2d: stride 0, pad 1", OptionError);
  CHECK_THROWS_WITH_AS(ops::conv2d(x, w, none, {1, -1}), "conv2d: stride 1, pad -1", OptionError);
}

TEST_CASE("Padding at the end that lets in no tap beyond that at the beginning counts as the same") {
  const auto symmetric = [](std::int64_t size, ops::Conv2dOptions o) {
    return ops::detail::conv2d_geometry(Shape{1, size, size, 1}, Shape{1, 3, 3, 1}, o).symmetric();
  };
  CHECK(symmetric(8, {}));
  CHECK(symmetric(8, {.stride = 2}));
  CHECK(symmetric(8, {.pad = 0}));
  CHECK(symmetric(8, {.stride = 2, .pad = 1, .pad_end = 0}));   // the last column of zeros is not read
  CHECK(!symmetric(7, {.stride = 2, .pad = 1, .pad_end = 0}));  // nor here, but with it there would be one more result
  CHECK(!symmetric(8, {.stride = 2, .pad = 0, .pad_end = 1}));
  CHECK(!symmetric(8, {.pad = 1, .pad_end = 0}));
}
