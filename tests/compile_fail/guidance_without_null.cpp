// SPDX-License-Identifier: Apache-2.0
// EXPECT: guidance needs a GuidedCondition
#include <hypersd/diffusion.hpp>

using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Tensor<float>&) const { return x; }
};
int main() {
  const Sampler<Ddim, StableDiffusion, ClassifierFree> sampler;
  sampler(Net{}, Tensor<float>::zeros(Shape{1, 2}), Tensor<float>::zeros(Shape{1}), 4);
}
