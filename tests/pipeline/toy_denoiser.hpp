// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/schedule.hpp>

namespace toy {

using namespace hypersd;
using diffusion::Unconditional;

/// A small network on points of the plane: eps = out(silu(mid(silu(in(x, time features))))).
struct Denoiser {
  using value_type = double;
  using device_type = Cpu;
  nn::Linear<double> in{2 + 8, 64}, mid{64, 64}, out{64, 2};

  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Unconditional&) const {
    Tensor<double> features(Shape{x.dim(0), 8});
    for (std::int64_t b = 0; b < x.dim(0); ++b)
      for (std::int64_t j = 0; j < 8; ++j)
        features[8 * b + j] =
            std::sin(static_cast<double>(1 + j / 2) * 3.14159265 * t[b] / 1000 + (j % 2 ? 1.5707963 : 0));
    const auto h = in(autograd::concat_channels(std::vector<Var<double>>{x, Var<double>(features)}));
    return out(autograd::silu(mid(autograd::silu(h))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "mid", mid, "out", out);
  }
};

inline diffusion::Discrete<> process() { return diffusion::noise_table<diffusion::ScaledLinear>(); }
inline diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

inline diffusion::AnalyticDenoiser<> exact() {
  return {process(), diffusion::Mixture({{2, {1.5, 0}, 0.2, 0}, {1, {-1, 1}, 0.4, 0}, {1, {-0.5, -1.5}, 0.3, 0}})};
}

/// A network fitted to the exact noise prediction of the mixture.
inline const Denoiser& teacher() {
  static const Denoiser net = [] {
    Denoiser n;
    nn::init_parameters(n, 7, "toy");
    const auto truth = exact();
    auto parameters = optim::parameters_of(n);
    optim::AdamW<double> optimizer(parameters, {.weight_decay = 0});
    const std::int64_t steps = 2000, batch = 128;
    const optim::Schedule rate = optim::Cosine{5e-3, steps};
    for (std::int64_t step = 0; step < steps; ++step) {
      const auto sub = static_cast<std::uint64_t>(step);
      auto x = truth.data<double>(batch, stream(1, "toy.data", sub));
      const auto noise = ops::normal<double>(x.shape(), stream(1, "toy.noise", sub));
      const auto u = ops::uniform<double>(Shape{batch}, stream(1, "toy.time", sub));
      Tensor<double> t(Shape{batch});
      for (std::int64_t b = 0; b < batch; ++b) {
        t[b] = std::floor(1000 * u[b]);
        const auto level = truth.process_value().level(t[b]);
        for (std::int64_t j = 0; j < 2; ++j) x[2 * b + j] = level.alpha * x[2 * b + j] + level.sigma * noise[2 * b + j];
      }
      optimizer.zero_grad();
      autograd::backward(autograd::mse(n(Var<double>(x), t, Unconditional{}), truth(x, t, Unconditional{})));
      optimizer.step(rate(step));
    }
    nn::set_requires_grad(n, false);
    return n;
  }();
  return net;
}

}  // namespace toy
