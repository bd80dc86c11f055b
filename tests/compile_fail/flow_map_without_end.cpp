// SPDX-License-Identifier: Apache-2.0
// EXPECT: this objective learns a flow map between two times: the network must take network\(x, t, condition\) const
// with t an nn::Interval
#include <hypersd/distill/objectives/mean_flow.hpp>
using namespace hypersd;

struct Net {
  Var<float> operator()(const Var<float>& x, const nn::Times<float>&, const diffusion::Unconditional&) const {
    return x;
  }
};
int main() {
  const distill::MeanFlow<> objective;
  const diffusion::Batch<float, Cpu, diffusion::Unconditional> batch{Tensor<float>::zeros(Shape{1, 2}), {}};
  (void)objective.loss(Net{}, Net{}, Net{}, batch, {});
}
