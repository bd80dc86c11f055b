// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cuda/conv2d_cudnn.cuh>

#include <fake_cuda/cases/check.hpp>

using namespace hypersd;
using fake_cuda::Clean;

namespace {

/// In a thread of its own, which gives back what it has made for cuDNN.
template <class F>
void in_thread(F&& f) {
  const Clean clean;
  std::thread(f).join();
}

template <class D, class T = float>
struct Case {
  using Array = Tensor<T, D>;
  Array x = Array(Shape{2, 6, 6, 8}), w = Array(Shape{4, 3, 3, 8}), bias = Array(Shape{4}),
        y = Array(Shape{2, 6, 6, 4});
  [[nodiscard]] Array forward(ops::Conv2dOptions o = {}) const { return ops::conv2d(x, w, Array{}, o); }
};

}  // namespace

TEST_CASE_TEMPLATE("cuDNN does a convolution and its gradients, without waiting, in a graph too", T, float, bfloat16,
                   hypersd::half) {
  in_thread([] {
    const Case<ops::cudnn::Always, T> c;
    fake_cuda::reset();
    (void)c.forward();
    CHECK(fake_cuda::counts().convolutions == 1);
    (void)ops::conv2d_input_gradient(c.y, c.w, c.x.shape());
    (void)ops::conv2d_weight_gradient(c.y, c.x, c.w.shape());
    CHECK(fake_cuda::counts().convolutions == 3);
    CHECK(fake_cuda::counts().kernels == 0);
    CHECK(fake_cuda::counts().products == 0);
    (void)ops::conv2d(c.x, c.w, c.bias);
    CHECK(fake_cuda::counts().convolutions == 4);
    CHECK(fake_cuda::counts().kernels == 1);  // adds the bias
    const Graph<ops::cudnn::Always> graph([&] { (void)c.forward(); });
    graph.launch();
    CHECK(fake_cuda::counts().convolutions == 5);
    CHECK(fake_cuda::counts().synchronisations == 0);
  });
}

TEST_CASE("What cuDNN is not asked is done as on Cuda") {
  in_thread([] {
    const Case<ops::cudnn::Always> c;
    const Case<ops::cudnn::Always, double> wide;
    const Tensor<float, ops::cudnn::Always> pointwise(Shape{4, 1, 1, 8});
    fake_cuda::reset();
    (void)c.forward({.stride = 2, .pad = 0, .pad_end = 1});
    (void)wide.forward();
    (void)ops::conv2d(c.x, pointwise, c.bias, {.pad = 0});
    CHECK(fake_cuda::counts().convolutions == 0);
    CHECK(fake_cuda::counts().products == 3);
  });
}

TEST_CASE("A thread's first convolution within a graph makes no handle") {
  in_thread([] {
    const Case<ops::cudnn::Always> c;
    const Graph<ops::cudnn::Always> graph([&] { (void)c.forward(); });
    fake_cuda::reset();
    graph.launch();
    CHECK(fake_cuda::counts().convolutions == 0);
    CHECK(fake_cuda::counts().products == 1);
  });
}

// The stand-in's clock counts kernels, products and convolutions, so that cuDNN is faster without a bias, one against
// patches and product, but not with one, which it adds by a kernel.
TEST_CASE("The faster way is measured once and kept") {
  in_thread([] {
    const Case<ops::cudnn::Fastest> c;
    const auto with_bias = [&] { (void)ops::conv2d(c.x, c.w, c.bias, {.stride = 2}); };
    (void)ops::conv2d(c.x, c.w, c.bias, {.pad = 0});  // another shape: makes the handle
    fake_cuda::reset();
    const Graph<ops::cudnn::Fastest> before([&] { (void)c.forward(); });
    before.launch();
    CHECK(fake_cuda::counts().convolutions == 0);
    CHECK(fake_cuda::counts().synchronisations == 0);

    (void)c.forward();
    with_bias();
    CHECK(fake_cuda::counts().synchronisations == 4);
    fake_cuda::reset();
    (void)c.forward();
    CHECK(fake_cuda::counts().convolutions == 1);
    CHECK(fake_cuda::counts().products == 0);
    with_bias();
    CHECK(fake_cuda::counts().convolutions == 1);
    CHECK(fake_cuda::counts().products == 1);
    const Graph<ops::cudnn::Fastest> after([&] { (void)c.forward(); });
    after.launch();
    CHECK(fake_cuda::counts().convolutions == 2);
    CHECK(fake_cuda::counts().synchronisations == 0);
  });
}

TEST_CASE("A tensor changes between the tags of Cuda without a copy") {
  const Clean clean;
  const auto x = Tensor<float, Cuda>::full(Shape{2, 3}, 2);
  fake_cuda::reset();
  const auto y = x.to<ops::cudnn::Always>();
  CHECK(y.data() == x.data());
  CHECK(y.shape() == x.shape());
  CHECK(!x.unique());
  CHECK(y.slice(1, 2).to<Cuda>().data() == x.data() + 3);
  CHECK(!Tensor<float, Cuda>{}.to<ops::cudnn::Fastest>().defined());
  CHECK(fake_cuda::counts().copies == 0);
  CHECK(fake_cuda::counts().allocations == 0);
}
