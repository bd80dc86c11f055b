// SPDX-License-Identifier: Apache-2.0
/// One TCD step of 64 Mi elements, noise included, in float32 and bfloat16, against device-to-device copies: with a
/// stored prediction, and with an exact denoiser evaluated in the step. Then a loop of four steps at 16 Ki elements as
/// one CUDA graph, against a graph of four copies.

#include <hypersd/diffusion/graph_sampler.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <string>

#include "timing.hpp"

using namespace hypersd;

namespace {

using Exact = diffusion::IndependentDenoiser<diffusion::StableDiffusion>;
using Sampler = diffusion::Sampler<diffusion::Tcd, diffusion::StableDiffusion>;

const Exact& exact() {
  static const Exact net(diffusion::StableDiffusion(), diffusion::Mixture({{1, {0.1}, 0.5, 0}}));
  return net;
}

template <class T>
void measure_step(const std::string& name) {
  const std::int64_t n = std::int64_t{64} << 20;
  const double bytes = static_cast<double>(n) * sizeof(T);
  const auto x = Tensor<T, Cuda>::full(Shape{1, n}, T(0.5F)), prediction = Tensor<T, Cuda>::full(Shape{1, n}, T(0.25F));
  const Tensor<T, Cuda> out(Shape{1, n});
  const auto scale = [](double v) { return Tensor<float, Cuda>::full(Shape{1}, static_cast<float>(v)); };
  const double bandwidth = bench::copy_bandwidth(static_cast<std::size_t>(bytes));
  const ops::StepNoise<Cuda> noise{stream(1, "noise"), 0, {}};
  for (const bool noisy : {true, false}) {
    const diffusion::Tcd solver{{.eta = noisy ? 0.3 : 0.0}};
    const auto c = solver.step(diffusion::StableDiffusion(), {999, 749, false});
    ops::AffineStep<T, Cuda> step{x, scale(c.x), prediction, scale(c.prediction)};
    if (noisy) step.noise_scale = scale(c.noise);
    const auto f = exact().element<float>(999);
    const Graph<Cuda> stored([&] { ops::affine_step_into(out, step, noise); });
    const Graph<Cuda> computed([&] { ops::affine_step_into(out, step, noise, f); });
    const std::string ending = noisy ? "" : "_deterministic";
    // Two operands are read and one is written; one and one if the prediction is computed in the step.
    bench::print((name + ending).c_str(), bench::milliseconds([&] { stored.launch(); }), "copy bandwidth",
                 3 * bytes / bandwidth);
    bench::print((name + "_computed" + ending).c_str(), bench::milliseconds([&] { computed.launch(); }),
                 "copy bandwidth", 2 * bytes / bandwidth);
  }
}

void measure_loop() {
  const std::int64_t n = std::int64_t{16} << 10;
  const auto noise = Tensor<float, Cuda>::full(Shape{1, n}, 0.5F);
  const Tensor<float, Cuda> out(noise.shape());
  const Sampler sampler({.eta = 0.3});
  const auto run = sampler.prepare<float, Cuda>(1, 4, {});
  const auto from = [](std::size_t i, std::size_t e, std::size_t) {
    return ops::StepNoise<Cuda>{diffusion::solver_noise(1, i, e), 0, {}};
  };
  const auto nothing = [](std::size_t, const Tensor<float, Cuda>&) {};
  const auto loop = [&] { (void)sampler.sample(run, exact(), noise, diffusion::Unconditional{}, {}, from, nothing); };
  loop();
  const Graph<Cuda> recorded(loop), copies([&] {
    for (int i = 0; i < 4; ++i) out.copy_from(noise);
  });
  const double limit = bench::milliseconds([&] { copies.launch(); });
  const std::string against = "graph of four copies, for " + std::to_string(recorded.kernels()) + " kernels";
  bench::print("loop_16Ki_graph", bench::milliseconds([&] { recorded.launch(); }), against.c_str(), limit);
  bench::print("loop_16Ki_launches", bench::milliseconds(loop), against.c_str(), limit);
}

}  // namespace

int main() {
  if (!bench::have_device("step")) return 77;
  measure_step<float>("step_float32");
  measure_step<bfloat16>("step_bfloat16");
  measure_loop();
}
