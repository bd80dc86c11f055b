// SPDX-License-Identifier: Apache-2.0
// bits THREADS: prints a checksum of the bits of results, one line an operation, for check.sh to compare.
#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/ops/softmax.hpp>
#include <hypersd/optim/adamw.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace hypersd;

namespace {

Tensor<float> normal(const Shape& shape, const char* name) { return ops::normal<float>(shape, stream(7, name)); }

// FNV-1a of the bits.
void print(const char* name, const Tensor<float>& x) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const float value : x.span()) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 0x100000001b3;
  }
  std::printf("%s %016llx\n", name, static_cast<unsigned long long>(hash));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: bits THREADS\n"), 2;
  set_num_threads(std::atoi(argv[1]));
  print("normal", normal({1000}, "x"));
  const auto a = normal({137, 130}, "a"), b = normal({130, 275}, "b");
  print("matmul", ops::matmul(a, b));
  const auto x = normal({2, 24, 24, 32}, "x"), w = normal({32, 3, 3, 32}, "w"), bias = normal({32}, "bias");
  print("conv2d", ops::conv2d(x, w, bias, {1, 1}));
  print("conv2d_weight_gradient", ops::conv2d_weight_gradient(x, x, w.shape(), {1, 1}));
  const auto q = normal({2, 40, 32}, "q"), k = normal({2, 77, 32}, "k");
  const auto attended = ops::attention(q, k, k, 4);
  print("attention", attended.y);
  print("attention_gradient", ops::attention_gradient(q, q, k, k, attended, 4).k);
  print("group_norm", ops::group_norm(x, bias, bias, 8).y);
  print("softmax", ops::softmax(a));

  nn::UnetConfig c;
  c.block_out_channels = {8, 16};
  c.down_attention = {false, true};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  nn::Unet<float> net(c);
  nn::init_parameters(net, 1);
  const nn::UnetCondition<float> condition{Var<float>(normal({2, 3, 12}, "tokens")), {}};
  const auto noise = normal({2, 8, 8, 4}, "noise");
  const auto times = Tensor<float>::full({2}, 500.0F);
  print("unet", net(Var<float>(noise), times, condition).value());
  const diffusion::Sampler<diffusion::Tcd, diffusion::StableDiffusion> sampler{{.eta = 0.3}};
  print("sampler", sampler(net, noise, condition, 4));

  optim::ParameterList<float> parameters = optim::parameters_of(net);
  optim::AdamW<float> optimizer(parameters);
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    autograd::backward(autograd::mse(net(Var<float>(noise), times, condition), noise));
    optimizer.step(1e-3);
  }
  print("training", net(Var<float>(noise), times, condition).value());
}
