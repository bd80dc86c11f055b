// SPDX-License-Identifier: Apache-2.0
/// Forward, backward and AdamW of the 1.69 M parameter latent UNet of bench/peers/train_step.py. Prints one JSON line.

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/optim/adamw.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
  using namespace hypersd;
  int threads = 2, iterations = 30, warmup = 5;
  std::int64_t batch = 128;
  CLI::App app{"Times one training step of the benchmark UNet (see bench/run.sh)"};
  app.add_option("--threads", threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--iters", iterations, "timed steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", warmup, "steps before")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--batch", batch, "samples a step")->check(CLI::PositiveNumber)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(threads);

  nn::UnetConfig config;
  config.block_out_channels = {32, 64, 64};
  config.down_attention = {false, true, true};
  config.heads = {8, 8, 8};
  config.transformer_layers = {1, 1, 1};
  nn::Unet<float> unet(config);
  nn::init_parameters(unet, 1);
  optim::AdamW<float> optimizer(optim::parameters_of<float>(unet));

  const Stream s = stream(1, "bench");
  const auto x = ops::normal<float>(Shape{batch, 8, 8, 4}, s);
  const auto target = ops::normal<float>(Shape{batch, 8, 8, 4}, s, 1 << 20);
  const auto t = ops::uniform<float>(Shape{batch}, s, 0.0F, 999.0F, 1 << 21);
  const nn::UnetCondition<float> condition{Var<float>(ops::normal<float>(Shape{batch, 1, 64}, s, 1 << 22)), {}};

  std::vector<double> ms;
  float loss_value = 0;
  for (int i = 0; i < warmup + iterations; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    const auto loss = autograd::mse(unet(Var<float>(x), t, condition), target);
    autograd::backward(loss);
    optimizer.step(1e-3);
    if (i >= warmup)
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    loss_value = loss.item();
  }
  std::sort(ms.begin(), ms.end());
  std::printf(
      "{\"name\": \"train_step\", \"ms\": %.3f, \"ms_min\": %.3f, \"params\": %lld, \"batch\": %lld, "
      "\"threads\": %d, \"loss\": %.6f}\n",
      ms[ms.size() / 2], ms.front(), static_cast<long long>(nn::parameter_count(unet)), static_cast<long long>(batch),
      threads, static_cast<double>(loss_value));
}
