// SPDX-License-Identifier: Apache-2.0
// EXPECT: a network must take network\(x, t, condition\) const
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
using namespace hypersd;
using namespace hypersd::diffusion;

struct Net {
  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>&, const Tensor<double>&) const { return x; }
};
int main() {
  const Tensor<float> condition = Tensor<float>::zeros(Shape{1});
  const Sampler<Ddim, StableDiffusion, ClassifierFree> sampler;
  sampler(Net{}, Tensor<float>::zeros(Shape{1, 2}), GuidedCondition{condition, condition}, 4);
}
