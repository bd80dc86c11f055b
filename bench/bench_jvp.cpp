// SPDX-License-Identifier: Apache-2.0
/// Value and tangent of the latent UNet of bench_train_step in one pass of autograd::jvp, beside the value alone.

#include <benchmark/benchmark.h>

#include <hypersd/autograd/jvp.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/ops/random.hpp>

namespace {

using namespace hypersd;

/// A network with inputs, directions, and a condition of one token.
struct Setup {
  nn::Unet<float> unet;
  Tensor<float> x, dx, t, dt;
  nn::UnetCondition<float> condition;

  explicit Setup(std::int64_t batch) {
    nn::UnetConfig config;
    config.block_out_channels = {32, 64, 64};
    config.down_attention = {false, true, true};
    config.heads = {8, 8, 8};
    config.transformer_layers = {1, 1, 1};
    unet = nn::Unet<float>(config);
    nn::init_parameters(unet, 1);
    const auto normal = [](const Shape& shape, const char* name) { return ops::normal<float>(shape, stream(1, name)); };
    x = normal({batch, 8, 8, 4}, "x");
    dx = normal(x.shape(), "dx");
    t = ops::uniform<float>(Shape{batch}, stream(1, "t"), 0.0F, 999.0F);
    dt = Tensor<float>::ones({batch});
    condition = {Var<float>(normal({batch, 1, 64}, "token")), {}};
  }
};

void forward(benchmark::State& state) {
  const Setup s(state.range(0));
  const autograd::NoGrad guard;
  for (auto _ : state) benchmark::DoNotOptimize(s.unet(Var<float>(s.x), s.t, s.condition));
}
void jvp(benchmark::State& state) {
  const Setup s(state.range(0));
  const autograd::NoGrad guard;
  const auto predict = [&](const Var<float>& x, const Var<float>& t) { return s.unet(x, t, s.condition); };
  for (auto _ : state)
    benchmark::DoNotOptimize(autograd::jvp(predict, autograd::Dual{s.x, s.dx}, autograd::Dual{s.t, s.dt}));
}

}  // namespace

BENCHMARK(forward)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(jvp)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond)->UseRealTime();
