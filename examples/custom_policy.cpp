// SPDX-License-Identifier: Apache-2.0
/// An objective and a solver of one's own, composed with the library: two structs of a few lines each.
#include <cstdio>
#include <hypersd/diffusion.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/optim/adamw.hpp>
using namespace hypersd;

/// The objective: jumps always end half-way down the grid, between Eq 4 (the end) and Eq 12 (the segment).
struct HalfWay {
  distill::EndRange range(const distill::SolverGrid& grid, int n) const { return {n / 2, n / 2, grid[0]}; }
};
/// The solver: DDPM's ancestral step, as scalar arithmetic on noise levels.
struct Ancestral {
  struct Options {
  } options{};
  static constexpr const char* name = "ancestral";
  static constexpr bool stochastic = true;
  template <diffusion::DiffusionProcess Process>
  diffusion::StepCoefficients step(const Process& process, diffusion::StepTimes t) const {
    const double a = std::pow(process.alpha(t.from), 2), b = std::pow(process.alpha(t.to), 2);
    const auto x0 = process.x0(t.from);
    const double clean = std::sqrt(b) * (1 - a / b) / (1 - a), keep = std::sqrt(a / b) * (1 - b) / (1 - a);
    return {clean * x0.x + keep, clean * x0.prediction, t.last ? 0 : std::sqrt((1 - b) / (1 - a) * (1 - a / b))};
  }
};
/// Teacher for data N(0, 1): the exact noise prediction is sigma_t x. The student is a sigma_t x with one parameter a.
const diffusion::StableDiffusion sd;
auto sigmas(const Tensor<float>& t) {  // every sample of a batch here has its own time
  const auto form = [&](std::size_t b) { return diffusion::Form{sd.sigma(static_cast<double>(t.data()[b])), 0}; };
  return diffusion::sample_forms<float, Cpu>(t.size(), form).x;
}
struct Teacher {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>& t, diffusion::Unconditional) const {
    return ops::map(ops::Mul{}, x, ops::per_sample(sigmas(t)));
  }
};
struct Student {
  Var<float> a{Tensor<float>::full(Shape{1}, 0.5F), true};
  Var<float> operator()(const Var<float>& x, const Tensor<float>& t, diffusion::Unconditional) const {
    return autograd::mul(autograd::mul(x, ops::per_sample(sigmas(t))), ops::everywhere(a));
  }
};
int main() {
  const Student student;
  optim::AdamW<float> optimizer({{"a", student.a}}, {.weight_decay = 0});
  const distill::Consistency<HalfWay, diffusion::StableDiffusion> objective(sd);
  using Data = distill::Batch<float, Cpu, diffusion::Unconditional>;
  const Data data{ops::normal<float>(Shape{256, 2}, stream(0, "data")), {}};
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    autograd::backward(objective.loss(student, Teacher{}, student, data, {0, step}).loss);
    optimizer.step(0.01);
  }
  const auto x = diffusion::Sampler<Ancestral, diffusion::StableDiffusion>{}(
      student, ops::normal<float>(Shape{4096, 2}, stream(1, "noise")), diffusion::Unconditional{}, 25);
  const double variance = static_cast<double>(ops::map_sum(ops::Square{}, x).item()) / static_cast<double>(x.size());
  std::printf("factor %.3f (1 is exact), variance %.3f (data: 1)\n", static_cast<double>(student.a.item()), variance);
  return variance > 0.8 && variance < 1.2 ? 0 : 1;
}
