// SPDX-License-Identifier: Apache-2.0
// Forwards and backwards only enqueue: they neither wait for the GPU nor copy from the host, and a graph can hold them.
#include <fake_cuda/cases/check.hpp>
#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_conv2d.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_gated.hpp>
#include <hypersd/autograd/grad_gather.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/autograd/grad_normalize.hpp>
#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/autograd/grad_softmax.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/classifier.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/optim/ema.hpp>
#include <network_runs.hpp>

using namespace hypersd;
using fake_cuda::Clean;
using V = Var<float, Cuda>;
using Array = Tensor<float, Cuda>;

namespace {

/// f() launches something, waits for nothing and copies nothing from or to the host, also when it is recorded.
template <class F>
void check_enqueues(const std::string& name, F&& f) {
  CAPTURE(name);
  fake_cuda::reset();
  (void)f();
  const fake_cuda::Counts now = fake_cuda::counts();
  CHECK(now.kernels + now.products + now.copies > 0);
  CHECK(now.synchronisations == 0);
  CHECK(now.uploads == 0);
  CHECK(now.downloads == 0);
  const Graph<Cuda> graph([&f] { (void)f(); });
  CHECK(graph.kernels() == now.kernels + now.products);
  fake_cuda::reset();
  graph.launch();
  CHECK(fake_cuda::counts().kernels == now.kernels);
  CHECK(fake_cuda::counts().products == now.products);
  for (const std::string& fault : fake_cuda::faults()) FAIL_CHECK(fault);
  fake_cuda::reset();
}

V variable(const Shape& shape) { return V(Array::full(shape, 0.5F), true); }

/// The result of `f(x...)` and the gradients of x... enqueue.
template <class F, class... X>
void check_gradients(const char* name, F&& f, X... x) {
  const Array ones = Array::ones(f(x...).shape());
  check_enqueues(name, [&] {
    (x.zero_grad(), ...);
    autograd::backward(f(x...), ones);
  });
}

template <class Net>
void zero_gradients(Net& net) {
  for (auto& p : optim::parameters_of(net)) p.var.zero_grad();
}

}  // namespace

TEST_CASE("every operation and its gradient enqueue without waiting") {
  const Clean clean;
  const V x = variable({2, 4, 4, 8}), same = variable({2, 4, 4, 8}), rows = variable({6, 16});
  const V channel = variable({8}), column = variable({16});
  check_gradients(
      "add", [](auto& a, auto& b) { return autograd::add(a, b); }, x, same);
  check_gradients(
      "mul", [](auto& a, auto& b) { return autograd::mul(a, b); }, x, same);
  check_gradients(
      "silu", [](auto& a) { return autograd::silu(a); }, x);
  check_gradients(
      "gelu", [](auto& a) { return autograd::gelu(a); }, x);
  check_gradients(
      "mse", [](auto& a, auto& b) { return autograd::mse(a, b); }, x, same);
  check_gradients(
      "mean", [](auto& a) { return autograd::mean(a); }, x);
  check_gradients(
      "sum_to_samples", [](auto& a) { return autograd::sum_to_samples(a); }, x);
  check_gradients(
      "mean_positions", [](auto& a) { return autograd::mean_positions(a); }, x);
  const Array shares = Array::full({2}, 0.5F);
  check_gradients(
      "combine_samples", [&](auto& a, auto& b) { return autograd::combine_samples(shares, a, shares, b); }, x, same);
  check_gradients(
      "concat_channels", [](auto& a, auto& b) { return autograd::concat_channels(a, b); }, x, same);
  check_gradients(
      "slice_channels", [](auto& a) { return autograd::slice_channels(a, 2, 5); }, x);
  check_gradients(
      "concat_batch", [](auto& a, auto& b) { return autograd::concat_batch(a, b); }, x, same);
  check_gradients(
      "slice_batch", [](auto& a) { return autograd::slice_batch(a, 1, 2); }, x);
  check_gradients(
      "permute",
      [](auto& a) {
        return autograd::permute(a, {0, 3, 1, 2});
      },
      x);
  check_gradients(
      "geglu", [](auto& a) { return autograd::geglu(a); }, rows);
  check_gradients(
      "upsample_nearest", [](auto& a) { return autograd::upsample_nearest(a, 7, 8); }, x);
  check_gradients(
      "downsample_mean2", [](auto& a) { return autograd::downsample_mean2(a); }, x);
  check_gradients(
      "group_norm",
      [](auto& a, auto& g, auto& b) { return autograd::group_norm(a, g, b, 4, 1e-5, ops::Activation::silu); }, x,
      channel, variable({8}));
  check_gradients(
      "layer_norm", [](auto& a, auto& g, auto& b) { return autograd::layer_norm(a, g, b); }, rows, column,
      variable({16}));
  check_gradients(
      "softmax", [](auto& a) { return autograd::softmax(a); }, rows);
  const auto labels = Tensor<std::int32_t, Cuda>::full({6}, 3);
  check_gradients(
      "cross_entropy", [&](auto& a) { return autograd::cross_entropy(a, labels, 0.1); }, rows);
  check_gradients(
      "embedding", [&](auto& table) { return autograd::embedding(table, labels); }, rows);
  check_gradients(
      "matmul", [](auto& a, auto& b) { return autograd::matmul(a, b, false, true); }, rows, variable({4, 16}));
  check_gradients(
      "linear", [](auto& a, auto& w, auto& b) { return autograd::linear(a, w, b); }, rows, variable({8, 16}), channel);
  check_gradients(
      "conv2d", [](auto& a, auto& w, auto& b) { return autograd::conv2d(a, w, b); }, x, variable({8, 3, 3, 8}),
      channel);
  check_gradients(
      "conv2d 1x1",
      [](auto& a, auto& w, auto& b) {
        return autograd::conv2d(a, w, b, {1, 0});
      },
      x, variable({8, 1, 1, 8}), channel);
  check_gradients(
      "attention", [](auto& q, auto& k, auto& v) { return autograd::attention(q, k, v, 2); }, variable({2, 70, 16}),
      variable({2, 5, 16}), variable({2, 5, 16}));
  check_enqueues("random numbers", [] {
    (void)ops::normal<float, Cuda>(Shape{100}, stream(1, "x"));
    return ops::uniform<float, Cuda>(Shape{100}, stream(1, "x"), 0.0F, 1.0F);
  });
}

TEST_CASE("a UNet forwards and backwards enqueues without waiting") {
  const Clean clean;
  auto net = network_runs::unet<Cuda>();
  V x(Array::full({2, 6, 4, 4}, 0.5F), true);
  const Array t = Array::full({2}, 500), ones = Array::ones({2, 6, 4, 4});
  const auto condition = network_runs::tokens<Cuda>(2);
  check_enqueues("unet", [&] {
    zero_gradients(net);
    x.zero_grad();
    autograd::backward(net(x, t, condition), ones);
  });
  check_enqueues("unet without gradients", [&] {
    const autograd::NoGrad guard;
    return net(x, t, condition);
  });
}

TEST_CASE("the other networks forwards and backwards enqueue without waiting") {
  const Clean clean;
  nn::Autoencoder<float, Cuda> autoencoder({1, 1, 4, {8, 12}, 1, 0, true, true, 4, 1e-6, 1});
  nn::init_parameters(autoencoder, 3);
  const Array picture = Array::full({2, 6, 6, 1}, 0.5F);
  check_enqueues("autoencoder", [&] {
    zero_gradients(autoencoder);
    autograd::backward(autograd::mse(autoencoder.decode(autoencoder.encode(V(picture)).mean), picture));
  });
  nn::TextEncoder<float, Cuda> encoder(nn::TextEncoderConfig{});
  nn::init_parameters(encoder, 3);
  const auto ids = Tensor<std::int32_t, Cuda>::full({2, 5}, 3);
  check_enqueues("text encoder", [&] {
    zero_gradients(encoder);
    autograd::backward(autograd::sum(encoder(ids)));
  });
  nn::Classifier<float, Cuda> classifier(nn::ClassifierConfig{1, 10, {8, 16}, 12, 4});
  nn::init_parameters(classifier, 3);
  const auto labels = Tensor<std::int32_t, Cuda>::full({2}, 3);
  check_enqueues("classifier", [&] {
    zero_gradients(classifier);
    autograd::backward(autograd::cross_entropy(classifier(V(picture)), labels, 0.1));
  });
}

TEST_CASE("AdamW and EMA are one launch over all parameters and wait for nothing") {
  const Clean clean;
  auto net = network_runs::unet<Cuda>();
  auto parameters = optim::parameters_of(net);
  for (auto& p : parameters) p.var.set_grad(Array::zeros(p.var.shape()));
  optim::AdamW<float, Cuda> optimizer(parameters);
  optim::Ema<float, Cuda> ema(parameters, {.decay = 0.9});
  fake_cuda::reset();
  optimizer.step(1e-3);
  CHECK(fake_cuda::counts().kernels == 1);
  CHECK(fake_cuda::counts().synchronisations == 0);
  fake_cuda::reset();
  ema.update();
  CHECK(fake_cuda::counts().kernels == 1);
  CHECK(fake_cuda::counts().synchronisations == 0);
}
