// SPDX-License-Identifier: Apache-2.0
// EXPECT: a network must take network\(x, t, condition\) const
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/objectives/pd.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
  Var<float> operator()(const Var<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
};
struct Teacher {
  void operator()(const Tensor<float>&, const Tensor<float>&, const Unconditional&) const {}
};
int main() {
  const distill::Pd<StableDiffusion> objective(StableDiffusion{});
  const distill::Batch<float, Cpu, Unconditional> batch{Tensor<float>::zeros(Shape{1, 2}), {}};
  (void)objective.loss(Net{}, Teacher{}, Net{}, batch, {});
}
