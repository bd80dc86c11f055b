// SPDX-License-Identifier: Apache-2.0
/// A reward of one's own: the colour that a caption asks for. A student that knows nothing learns to paint it.
#include <cmath>
#include <cstdio>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/feedback.hpp>
#include <hypersd/optim.hpp>
using namespace hypersd;

/// Minus the squared distance of a picture's mean colour to the tint [B, C] that was asked for.
struct Tint {
  template <class T, class D>
  Var<T, D> operator()(const Var<T, D>& images, const Tensor<T, D>& tint) const {
    const auto gap = autograd::sub(autograd::mean_positions(images), tint);
    return autograd::affine(autograd::sum_to_samples(autograd::map(ops::Square{}, gap)), -1);
  }
};

/// Predicts clean data: a constant colour for each of the batch's captions, whatever the noise.
struct Painter {
  Var<double> colour{Tensor<double>::zeros(Shape{2, 3}), true};
  Var<double> operator()(const Var<double>& x, const Tensor<double>&, const Tensor<double>&) const {
    return autograd::add(Var<double>(Tensor<double>::zeros(x.shape())), ops::per_channel(colour));
  }
};

int main() {
  const feedback::Refl refl(diffusion::Process<diffusion::ScaledLinear, diffusion::X0>(), feedback::NoDecoder{},
                            feedback::Hinge{Tint{}, -0.01, 1.0, "tint"}, {.steps = {1, 2, 4}});
  const Painter student;
  optim::AdamW<double> optimizer({{"colour", student.colour}}, {.weight_decay = 0});
  const auto tints = Tensor<double>::from(Shape{2, 3}, {1, 0.5, 0, 0, 0.5, 1});
  const diffusion::Batch<double, Cpu, Tensor<double>> batch{Tensor<double>::zeros(Shape{2, 4, 4, 3}), {tints, tints}};
  double below = 1;
  for (int step = 0; step < 500 && below > 0; ++step) {
    optimizer.zero_grad();
    const auto result = refl.loss(student, student, student, batch, {0, step});
    below = result.diagnostic("tint.below");
    autograd::backward(result.loss);
    optimizer.step(1e-2);
  }
  const auto& c = student.colour.value();
  std::printf("%.2f %.2f %.2f, %.2f %.2f %.2f\n", c[0], c[1], c[2], c[3], c[4], c[5]);
  return below == 0 && std::abs(c[0] - 1) < 0.1 && std::abs(c[5] - 1) < 0.1 ? 0 : 1;
}
