// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/ops/random.hpp>

#include <doctest/doctest.h>
#include <cmath>

using namespace hypersd;

namespace {

bool have_device() {
  int count = 0;
  const bool ok = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  (void)cudaGetLastError();
  if (!ok) MESSAGE("no CUDA device: compiled and linked only");
  return ok;
}

template <class T>
double worst(const Tensor<T>& a, const Tensor<T>& b) {
  double w = a.shape() == b.shape() ? 0 : INFINITY;
  for (std::int64_t i = 0; i < a.size(); ++i) w = std::fmax(w, std::fabs(double(a[i]) - double(b[i])));
  return w;
}

/// The same expression on either device: maps with every broadcast, reductions, products, gradients.
template <class D>
std::vector<Tensor<float>> everything() {
  const Stream s = stream(5, "cuda");
  const auto x = ops::normal<float, D>(Shape{6, 5, 7}, s, 3);
  const auto w = ops::normal<float, D>(Shape{4, 7}, s, 1000);
  const auto channel = ops::normal<float, D>(Shape{7}, s, 2000);
  const auto sample = ops::uniform<float, D>(Shape{6}, s, -1.0F, 1.0F, 3000);
  Var<float, D> vx(x, true), vw(w, true), vc(channel, true);
  auto h = autograd::mul(autograd::silu(autograd::add(vx, ops::per_channel(vc))), ops::per_sample(sample));
  auto loss = autograd::mse(autograd::linear(h, vw), Tensor<float, D>::zeros(Shape{6, 5, 4}));
  autograd::backward(loss);
  std::vector<Tensor<float>> out;
  for (const auto& t : {x, sample, h.value(), loss.value(), vx.grad(), vw.grad(), vc.grad(), ops::sum_to_samples(x),
                        ops::sum_to_sample_channels(x)})
    out.push_back(t.template to<Cpu>());
  return out;
}

}  // namespace

TEST_CASE("CUDA gives what the CPU gives") {
  if (!have_device()) return;
  const auto cpu = everything<Cpu>();
  const auto gpu = everything<Cuda>();
  REQUIRE(cpu.size() == gpu.size());
  CHECK(worst(cpu[0], gpu[0]) <= 1e-6);
  CHECK(worst(cpu[1], gpu[1]) == 0.0);
  for (std::size_t i = 2; i < cpu.size(); ++i) CHECK(worst(cpu[i], gpu[i]) <= 1e-4);
}

TEST_CASE("Copies, fills and views on the device") {
  if (!have_device()) return;
  const auto host = ops::normal<float>(Shape{4, 3}, stream(1, "x"));
  const auto device = host.to<Cuda>();
  CHECK(worst(host, device.clone().to<Cpu>()) == 0.0);
  CHECK(worst(host.slice(1, 3), device.slice(1, 3).to<Cpu>()) == 0.0);
  CHECK(Tensor<double, Cuda>::full(Shape{1}, 2.5).item() == 2.5);
}
