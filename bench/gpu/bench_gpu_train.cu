// SPDX-License-Identifier: Apache-2.0
/// Forward, backward, clipping and AdamW of the 1.69 M parameter latent UNet of bench/peers/train_step.py, batch 128:
/// as a CUDA graph, and kernel by kernel.

#include <chrono>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/core/graph.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/optim/enqueued_steps.hpp>

#include "timing.hpp"

using namespace hypersd;

int main() {
  if (!bench::have_device("train_step")) return 77;
  nn::UnetConfig config;
  config.block_out_channels = {32, 64, 64};
  config.down_attention = {false, true, true};
  config.heads = {8, 8, 8};
  config.transformer_layers = {1, 1, 1};
  nn::Unet<float, Cuda> unet(config);
  nn::init_parameters(unet, 1);
  constexpr std::int64_t batch = 128;
  const Stream s = stream(1, "bench");
  const auto x = ops::normal<float, Cuda>(Shape{batch, 8, 8, 4}, s);
  const auto target = ops::normal<float, Cuda>(Shape{batch, 8, 8, 4}, s, 1 << 20);
  const auto t = ops::uniform<float, Cuda>(Shape{batch}, s, 0.0F, 999.0F, 1 << 21);
  const nn::UnetCondition<float, Cuda> condition{
      Var<float, Cuda>(ops::normal<float, Cuda>(Shape{batch, 1, 64}, s, 1 << 22)), {}};
  optim::AdamW<float, Cuda> optimizer(optim::parameters_of(unet));
  optim::EnqueuedSteps<float, Cuda> update(optimizer, nullptr, 1.0, 1000);
  const auto step = [&] {
    optimizer.zero_grad();
    {
      const auto loss = autograd::mse(unet(Var<float, Cuda>(x), t, condition), target);
      autograd::backward(loss);
      update.enqueue(loss.value());
    }
    optimizer.zero_grad();
  };
  // Wall time of a step up to synchronization, launches included.
  const auto milliseconds = [&](auto&& launch) {
    std::vector<double> ms;
    for (int i = 0; i < 40; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      update.prepare(1e-3);
      launch();
      update.done();
      hypersd::detail::CudaContext::current().synchronise("train step");
      if (i >= 10)
        ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    }
    std::sort(ms.begin(), ms.end());
    return ms[ms.size() / 2];
  };
  bench::print("train_step_eager", milliseconds(step), "", 0);
  const Graph<Cuda> graph(step);
  bench::print("train_step", milliseconds([&] { graph.launch(); }), "", 0);
}
