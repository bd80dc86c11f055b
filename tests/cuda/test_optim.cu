// SPDX-License-Identifier: Apache-2.0
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/ema.hpp>

#include <doctest/doctest.h>
#include <cmath>
#include <hypersd/ops/random.hpp>

using namespace hypersd;

namespace {

bool have_device() {
  int count = 0;
  const bool ok = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  (void)cudaGetLastError();
  if (!ok) MESSAGE("no CUDA device: compiled and linked only");
  return ok;
}

struct Outcome {
  std::vector<float> parameters, averages;
  double norm = 0;
};

/// Three clipped AdamW steps with EMA over tensors of very different sizes.
template <class D>
Outcome three_steps() {
  optim::ParameterList<float, D> list;
  for (const std::int64_t n : {1, 100, 8192, 30001}) {
    const std::string name = "p" + std::to_string(n);
    list.push_back({name, Var<float, D>(ops::normal<float>(Shape{n}, stream(1, name)).template to<D>(), true)});
  }
  optim::AdamW<float, D> optimizer(list, {.weight_decay = 0.1});
  optim::Ema<float, D> ema(list, {.decay = 0.9});
  Outcome out;
  for (std::uint64_t step = 0; step < 3; ++step) {
    for (auto p : list) p.var.set_grad(ops::normal<float>(p.var.shape(), stream(2, p.name, step)).template to<D>());
    out.norm = optim::clip_grad_norm(list, 1.0);
    optimizer.step(1e-2);
    ema.update();
  }
  for (const auto& p : list)
    for (const float x : p.var.value().to_vector()) out.parameters.push_back(x);
  for (const auto& p : ema.parameters())
    for (const float x : p.var.value().to_vector()) out.averages.push_back(x);
  return out;
}

double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double w = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size(); ++i) w = std::fmax(w, std::fabs(double(a[i]) - double(b[i])));
  return w;
}

}  // namespace

TEST_CASE("AdamW, clipping and EMA give on CUDA what they give on the CPU") {
  if (!have_device()) return;
  const Outcome cpu = three_steps<Cpu>(), gpu = three_steps<Cuda>();
  CHECK(gpu.norm == doctest::Approx(cpu.norm).epsilon(1e-6));
  CHECK(worst(cpu.parameters, gpu.parameters) <= 1e-4);
  CHECK(worst(cpu.averages, gpu.averages) <= 1e-4);
}
