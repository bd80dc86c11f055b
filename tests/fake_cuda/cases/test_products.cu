// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/linear.hpp>

#include <fake_cuda/cases/check.hpp>

using namespace hypersd;
using fake_cuda::Clean;

TEST_CASE_TEMPLATE("a linear layer with bias is one product, in a graph too", T, float, bfloat16, hypersd::half) {
  const Clean clean;
  using Array = Tensor<T, Cuda>;
  const Array x(Shape{5, 7}), w(Shape{3, 7}), bias(Shape{3});
  Array y = ops::linear(x, w, bias);  // the plan is made at its first use
  fake_cuda::reset();
  y = ops::linear(x, w, bias);
  CHECK(fake_cuda::counts().products == 1);
  CHECK(fake_cuda::counts().kernels == 0);
  CHECK(fake_cuda::counts().synchronisations == 0);
  const Graph<Cuda> graph([&] { y = ops::linear(x, w, bias); });
  fake_cuda::reset();
  graph.launch();
  CHECK(fake_cuda::counts().products == 1);
  y = {};
}

TEST_CASE("in double the bias is written first") {
  const Clean clean;
  using Array = Tensor<double, Cuda>;
  const Array x(Shape{5, 7}), w(Shape{3, 7}), bias(Shape{3});
  fake_cuda::reset();
  (void)ops::linear(x, w, bias);
  CHECK(fake_cuda::counts().products == 1);
  CHECK(fake_cuda::counts().kernels == 1);
}

TEST_CASE_TEMPLATE("a convolution is its patches and one product, a 1x1 convolution the product alone", T, float,
                   bfloat16) {
  const Clean clean;
  using Array = Tensor<T, Cuda>;
  const Array x(Shape{2, 6, 6, 8}), w(Shape{4, 3, 3, 8}), w1(Shape{4, 1, 1, 8}), bias(Shape{4});
  fake_cuda::reset();
  (void)ops::conv2d(x, w, bias, {.pad = 1});
  CHECK(fake_cuda::counts().products == 1);
  CHECK(fake_cuda::counts().kernels == 1);
  fake_cuda::reset();
  (void)ops::conv2d(x, w1, bias, {.pad = 0});
  CHECK(fake_cuda::counts().products == 1);
  CHECK(fake_cuda::counts().kernels == 0);
}
