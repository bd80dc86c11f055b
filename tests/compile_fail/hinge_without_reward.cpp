// SPDX-License-Identifier: Apache-2.0
// EXPECT: Hinge needs a Reward: reward\(images, condition\)
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/feedback/hinge.hpp>
using namespace hypersd;

/// A plain tensor carries no gradient back to the pictures.
struct Score {
  Tensor<float> operator()(const Tensor<float>& images, diffusion::Unconditional) const { return images; }
};
int main() {
  const feedback::Hinge hinge{Score{}, 2.0};
  hinge(Var<float>(Tensor<float>::zeros(Shape{1, 2, 2, 1})), diffusion::Unconditional{});
}
