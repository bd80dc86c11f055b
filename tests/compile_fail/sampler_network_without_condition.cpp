// SPDX-License-Identifier: Apache-2.0
// EXPECT: a network must take network\(x, t, condition\) const
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&) const { return x; }
};
int main() {
  const Sampler<Tcd, StableDiffusion> sampler;
  sampler(Net{}, Tensor<float>::zeros(Shape{1, 2}), Unconditional{}, 4);
}
