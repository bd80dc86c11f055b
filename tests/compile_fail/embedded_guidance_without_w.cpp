// SPDX-License-Identifier: Apache-2.0
// EXPECT: EmbeddedGuidance needs a student with a w-embedding: net\(x, t, condition, w\)
#include <hypersd/diffusion.hpp>

using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Unconditional&) const { return x; }
};
int main() {
  const Sampler<Lcm, StableDiffusion, EmbeddedGuidance> sampler;
  sampler(Net{}, Tensor<float>::zeros(Shape{1, 2}), Unconditional{}, 4);
}
