// SPDX-License-Identifier: Apache-2.0
// EXPECT: this network belongs to another diffusion process
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/keep_guidance.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
  Var<float> operator()(const Var<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
};
int main() {
  const distill::KeepGuidance<distill::Tscd<8, StableDiffusion>> objective(StableDiffusion{});
  const distill::Batch<float, Cpu, Unconditional> batch{Tensor<float>::zeros(Shape{1, 2}), {}};
  const auto own = model<StableDiffusion>(Net{});
  (void)objective.loss(model<Flow>(Net{}), own, own, batch, {});
}
