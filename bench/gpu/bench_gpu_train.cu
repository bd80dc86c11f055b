// SPDX-License-Identifier: Apache-2.0
/// Forward, backward and AdamW of the 1.69 M parameter latent UNet of bench/peers/train_step.py, batch 128.

#include <chrono>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/optim/adamw.hpp>

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
  optim::AdamW<float, Cuda> optimizer(optim::parameters_of(unet));

  constexpr std::int64_t batch = 128;
  const Stream s = stream(1, "bench");
  const auto x = ops::normal<float, Cuda>(Shape{batch, 8, 8, 4}, s);
  const auto target = ops::normal<float, Cuda>(Shape{batch, 8, 8, 4}, s, 1 << 20);
  const auto t = ops::uniform<float, Cuda>(Shape{batch}, s, 0.0F, 999.0F, 1 << 21);
  const nn::UnetCondition<float, Cuda> condition{
      Var<float, Cuda>(ops::normal<float, Cuda>(Shape{batch, 1, 64}, s, 1 << 22)), {}};
  const auto step = [&] {
    optimizer.zero_grad();
    const auto loss = autograd::mse(unet(Var<float, Cuda>(x), t, condition), target);
    autograd::backward(loss);
    optimizer.step(1e-3);
  };
  // Wall time of a step that is waited for: what a training loop sees, launches included.
  std::vector<double> ms;
  for (int i = 0; i < 40; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    step();
    hypersd::detail::cuda_check(cudaStreamSynchronize(hypersd::detail::CudaContext::current().stream()), "train step");
    if (i >= 10)
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(ms.begin(), ms.end());
  bench::print("train_step", ms[ms.size() / 2], "", 0);
}
