// SPDX-License-Identifier: Apache-2.0
// A sampler on an exact teacher and a distillation objective, by the single header alone.
#include "hypersd_single.hpp"

#include <cstdio>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

/// A noise prediction with one parameter: eps = a x.
struct Student {
  Var<float> a{Tensor<float>::full({1}, 0.5F), true};
  Var<float> operator()(const Var<float>& x, const Tensor<float>&, Unconditional) const {
    return autograd::mul(x, ops::everywhere(a));
  }
};

}  // namespace

int main() {
  const NoiseTable table = noise_table<ScaledLinear>();
  const AnalyticDenoiser<> teacher(table, Mixture({{1, {-1, 0}, 0.2}, {1, {1, 0}, 0.2}}));
  const auto noise = ops::normal<float>({64, 2}, stream(0, "noise"));
  const auto x = Sampler<Tcd, StableDiffusion>{{.eta = 0.3}}(teacher, noise, Unconditional{}, 4);
  double first = 0, second = 0;
  for (std::int64_t i = 0; i < 64; ++i) {
    first += std::abs(static_cast<double>(x[2 * i])) / 64;
    second += std::abs(static_cast<double>(x[2 * i + 1])) / 64;
  }

  const Student student;
  optim::AdamW<float> optimizer({{"a", student.a}});
  const distill::Tscd<8, StableDiffusion> tscd(StableDiffusion{});
  const distill::Batch<float, Cpu, Unconditional> batch{x, {}};
  const auto loss = tscd.loss(student, teacher, student, batch, {0, 0}).loss;
  autograd::backward(loss);
  optimizer.step(1e-3);
  std::printf("distance from the axes %.2f, %.2f; loss %.3g\n", first, second, static_cast<double>(loss.item()));
  // The modes are at (-1, 0) and (1, 0), with standard deviation 0.2.
  const bool sampled = first > 0.6 && first < 1.3 && second < 0.4;
  return sampled && loss.item() > 0 && student.a.item() != 0.5F ? 0 : 1;
}
