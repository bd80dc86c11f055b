// SPDX-License-Identifier: Apache-2.0
// EXPECT: this network belongs to another diffusion process
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/nn/mixed_precision.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  using value_type = bfloat16;
  using device_type = Cpu;
  using process = Flow;
  Var<bfloat16> operator()(const Var<bfloat16>& x, const Numbers<bfloat16, Cpu>&, const Unconditional&) const {
    return x;
  }
};
int main() {
  const Net net;
  const Sampler<Tcd, StableDiffusion> sampler;
  sampler(nn::MixedPrecision(net), Tensor<float>::zeros(Shape{1, 2}), Unconditional{}, 4);
}
