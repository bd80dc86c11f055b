// SPDX-License-Identifier: Apache-2.0
/// One training step of a LoRA of rank 64 on a UNet of Stable Diffusion 1.5's size, 256 x 256 pixels, one sample:
/// forward and backward with checkpointing and AdamW, float32. Prints one JSON line: wall and CPU milliseconds of the
/// fastest step.

#include "fastest_run.hpp"

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/optim/adamw.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>

int main(int argc, char** argv) {
  using namespace hypersd;
  int threads = 2, iterations = 2, warmup = 1;
  CLI::App app{"Times one training step of a LoRA on Stable Diffusion 1.5's UNet (see bench/run.sh --large)"};
  app.add_option("--threads", threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--iters", iterations, "timed steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", warmup, "steps before")->check(CLI::NonNegativeNumber)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(threads);

  nn::UnetConfig config = nn::UnetConfig::sd15();
  config.checkpoint_layers = true;
  nn::Unet<float> unet(config);
  nn::init_parameters(unet, 1);
  nn::add_lora(unet, {.rank = 64, .targets = nn::stable_diffusion_targets()}, 2);
  optim::AdamW<float> optimizer(optim::parameters_of<float>(unet));

  const Stream s = stream(1, "bench");
  const auto x = ops::normal<float>(Shape{1, 32, 32, 4}, s),
             target = ops::normal<float>(Shape{1, 32, 32, 4}, s, 1 << 20);
  const auto t = Tensor<float>::full({1}, 500);
  const nn::UnetCondition<float> condition{Var<float>(ops::normal<float>(Shape{1, 77, 768}, s, 1 << 22)), {}};
  double wall = 1e300, cpu = 1e300;
  float loss_value = 0;
  fastest_run(wall, cpu, iterations, warmup, [&] {
    optimizer.zero_grad();
    const auto loss = autograd::mse(unet(Var<float>(x), t, condition), target);
    autograd::backward(loss);
    optimizer.step(1e-4);
    loss_value = loss.item();
  });
  // Forward, again for the backward pass, and the gradient of the activations: three calls of 190 GFLOP.
  std::printf(
      R"({"bench": "lora_step", "ms": %.6g, "threads": %d, "rows": [{"name": "LoRA step, UNet of SD 1.5, 32 x 32", )"
      R"("gflop": 570, "ms": %.6g, "cpu_ms": %.6g, "params": %lld, "loss": %.6f}]})"
      "\n",
      wall, threads, wall, cpu, static_cast<long long>(nn::lora_count(unet).elements), static_cast<double>(loss_value));
}
