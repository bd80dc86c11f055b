// SPDX-License-Identifier: Apache-2.0
/// An exact teacher: how far DDIM and TCD end from the true flow of a Gaussian mixture, by number of steps.
#include <cstdio>
#include <hypersd/diffusion.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

int main() {
  const StableDiffusion process;
  const AnalyticDenoiser teacher(process, Mixture({{2, {1.5, 0}, 0.2}, {1, {-1, 1}, 0.4}, {1, {-0.5, -1.5}, 0.3}}));
  const int samples = 256;
  const auto noise = ops::normal<double>(Shape{samples, 2}, stream(0, "noise"));
  // Where the probability flow really ends: Eq 17 by a fourth-order method, one step for each interval of the table.
  const VpSde sde(process.schedule());
  const auto score = [&](const auto& x, Level l, auto& out) { teacher.mixture().score(x, l, out); };
  std::vector<std::vector<double>> ends;
  for (int i = 0; i < samples; ++i)
    ends.push_back(integrate_flow(sde, score, std::vector{noise[2 * i], noise[2 * i + 1]}, 999, 0));
  const auto error = [&](const auto& sampler, int steps) {
    const auto x = sampler(teacher, noise, Unconditional{}, steps);
    double sum = 0;
    for (std::size_t i = 0; i < ends.size(); ++i)
      sum += std::hypot(x.data()[2 * i] - ends[i][0], x.data()[2 * i + 1] - ends[i][1]);
    return sum / samples;
  };
  std::printf("mean distance to the end of the exact flow\nsteps  DDIM    TCD, eta 0  TCD, eta 0.3\n");
  for (const int n : {1, 2, 4, 8, 16, 32, 64, 128})
    std::printf("%5d  %.4f  %.4f      %.4f\n", n, error(Sampler<Ddim, StableDiffusion>{}, n),
                error(Sampler<Tcd, StableDiffusion>({.eta = 0}), n),
                error(Sampler<Tcd, StableDiffusion>({.eta = 0.3}), n));
}
