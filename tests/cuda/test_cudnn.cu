// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cuda/conv2d_cudnn.cuh>
//
#include <hypersd/core/graph.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>

#include <gpu.hpp>
#include <tuple>

using namespace hypersd;

namespace {

/// Result, input gradient and weight gradient.
template <class T, class D>
std::vector<Tensor<float>> convolutions(const Shape& shape, std::int64_t out, ops::Conv2dOptions options) {
  const auto x = gpu::normal<D, T>(shape, "x"), w = gpu::normal<D, T>(Shape{out, 3, 3, shape[3]}, "w");
  const auto bias = gpu::normal<D, T>(Shape{out}, "bias");
  const auto y = ops::conv2d(x, w, bias, options);
  std::vector<Tensor<float>> results;
  for (const auto& t :
       {y, ops::conv2d_input_gradient(y, w, x.shape(), options), ops::conv2d_weight_gradient(y, x, w.shape(), options)})
    results.push_back(gpu::host(t).template cast<float>());
  return results;
}

template <class T, class D>
double distance(const Shape& shape, std::int64_t out, ops::Conv2dOptions options) {
  const auto got = convolutions<T, D>(shape, out, options), expected = convolutions<T, Cpu>(shape, out, options);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    double scale = 0;
    for (const float v : expected[i].span()) scale = std::max(scale, std::fabs(static_cast<double>(v)));
    worst = std::max(worst, numbers::distance(got[i], expected[i]) / scale);
  }
  return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("cuDNN: convolutions and their gradients are those of the CPU", Way,
                   std::tuple<float, ops::cudnn::Always>, std::tuple<bfloat16, ops::cudnn::Always>,
                   std::tuple<hypersd::half, ops::cudnn::Always>, std::tuple<float, ops::cudnn::Fastest>,
                   std::tuple<bfloat16, ops::cudnn::Fastest>, std::tuple<double, ops::cudnn::Always>) {
  using T = std::tuple_element_t<0, Way>;
  using D = std::tuple_element_t<1, Way>;
  if (!gpu::have_device()) return;
  const double tolerance = Narrow<T> ? 0.03 : 1e-4;
  for (const ops::Conv2dOptions& o :
       {ops::Conv2dOptions{}, {.stride = 2}, {.pad = 0}, {.stride = 2, .pad = 0, .pad_end = 1}}) {
    CAPTURE(o.stride);
    CAPTURE(o.pad);
    CHECK(distance<T, D>(Shape{2, 9, 8, 16}, 24, o) < tolerance);
    CHECK(distance<T, D>(Shape{1, 8, 8, 5}, 3, o) < tolerance);
  }
}

TEST_CASE("cuDNN: a tensor changes between the tags without a copy") {
  if (!gpu::have_device()) return;
  const auto x = Tensor<float, Cuda>::full(Shape{3}, 2);
  const auto y = x.to<ops::cudnn::Always>();
  CHECK(y.data() == x.data());
  CHECK(y.to<Cuda>().data() == x.data());
  CHECK(y.slice(1, 3).to<ops::cudnn::Fastest>().to_vector() == std::vector<float>{2, 2});
}

TEST_CASE("cuDNN: what was measured before is recorded in a graph without a wait") {
  if (!gpu::have_device()) return;
  using Array = Tensor<float, ops::cudnn::Fastest>;
  const auto x = gpu::normal<ops::cudnn::Fastest>(Shape{2, 8, 8, 16}, "x");
  const auto w = gpu::normal<ops::cudnn::Fastest>(Shape{24, 3, 3, 16}, "w");
  const auto expected = ops::conv2d(x, w, Array{}).to_vector();
  const auto waits = cuda_counts().synchronisations;
  Array y;
  const Graph<ops::cudnn::Fastest> graph([&] { y = ops::conv2d(x, w, Array{}); });
  CHECK(cuda_counts().synchronisations == waits);
  graph.launch();
  CHECK(y.to_vector() == expected);
  // Another shape, not measured: recorded as on Cuda.
  Array z;
  const Graph<ops::cudnn::Fastest> other([&] { z = ops::conv2d(x.slice(0, 1), w, Array{}); });
  other.launch();
  CHECK(numbers::distance(gpu::host(z), gpu::host(y.slice(0, 1))) < 1e-3);
}

TEST_CASE("cuDNN: a whole network") {
  if (!gpu::have_device()) return;
  const auto predict = [](auto device) {
    using D = decltype(device);
    nn::Unet<float, D> unet(nn::UnetConfig::fashion());
    nn::init_parameters(unet, 1);
    const nn::UnetCondition<float, D> text{Var<float, D>(gpu::normal<D>(Shape{2, 3, 64}, "text")), {}};
    const auto t = Tensor<float, D>::full(Shape{2}, 499);
    return gpu::host(unet(Var<float, D>(gpu::normal<D>(Shape{2, 8, 8, 4}, "x")), t, text).value());
  };
  const auto expected = predict(Cpu{});
  CHECK(numbers::distance(predict(ops::cudnn::Always{}), expected) < 1e-3);
  CHECK(numbers::distance(predict(ops::cudnn::Fastest{}), expected) < 1e-3);
}
