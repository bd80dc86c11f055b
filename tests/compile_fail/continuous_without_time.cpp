// SPDX-License-Identifier: Apache-2.0
// EXPECT: the network must take network\(x, t, condition\) const with t an nn::Times
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
using namespace hypersd;

struct Net {
  Var<float> operator()(const Var<float>& x, const Tensor<float>&, const diffusion::Unconditional&) const { return x; }
};
int main() {
  const distill::Scd<diffusion::Flow> objective;
  const diffusion::Batch<float, Cpu, diffusion::Unconditional> batch{Tensor<float>::zeros(Shape{1, 2}), {}};
  (void)objective.loss(Net{}, Net{}, Net{}, batch, {});
}
