// SPDX-License-Identifier: Apache-2.0
// EXPECT: a student network must take network\(x, t, condition\) const
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/feedback/stay_close.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
};
int main() {
  const feedback::StayClose<StableDiffusion> objective({}, {});
  const Batch<float, Cpu, Unconditional> batch{Tensor<float>::zeros(Shape{1, 2}), {}};
  (void)objective.loss(Net{}, Net{}, Net{}, batch, {});
}
