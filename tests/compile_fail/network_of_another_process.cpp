// SPDX-License-Identifier: Apache-2.0
// EXPECT: this network belongs to another diffusion process
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
};
int main() {
  const Sampler<Tcd, StableDiffusion> sampler;
  sampler(model<Flow>(Net{}), Tensor<float>::zeros(Shape{1, 2}), Unconditional{}, 4);
}
