// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/mixed_precision.hpp>
//
#include <other_network_runs.hpp>

#include <doctest/doctest.h>
#include <hypersd/pipeline/train_loop.hpp>

using namespace hypersd;
using namespace network_runs;

namespace {

/// Loss of segmented consistency distillation of a LoRA and its gradients; in mixed precision with float around a
/// network of 16 bits.
template <class T>
std::vector<Tensor<float>> mixed() {
  const auto net = unet<Cpu, T, T>();
  auto pupil = unet<Cpu, T, T>();
  nn::add_lora(pupil, {.rank = 2}, 5);
  const nn::MixedPrecision teacher(net), student(pupil);
  const distill::Tscd<4> objective(diffusion::noise_table<diffusion::ScaledLinear>());
  const distill::Batch<float, Cpu, nn::UnetCondition<T, Cpu>> batch{normal<Cpu, float, T>({2, 4, 4, 4}, "x0"),
                                                                    {tokens<Cpu, T, T>(2), tokens<Cpu, T, T>(2)}};
  const auto loss = objective.loss(student, teacher, student, batch, {3, 1}).loss;
  autograd::backward(loss);
  std::vector<Tensor<float>> out{result(loss.value())};
  for (const auto& p : nn::lora_parameters(pupil)) out.push_back(result(p.var.grad()));
  return out;
}

/// |a - b| / |b| of all gradients together.
double apart(const std::vector<Tensor<float>>& a, const std::vector<Tensor<float>>& b) {
  double difference = 0, size = 0;
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 1; i < a.size(); ++i) {
    difference += std::pow(norm(ops::map(ops::Sub{}, a[i], b[i])), 2);
    size += std::pow(norm(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

/// x -> w x, in any type.
template <class T>
struct Scale {
  using value_type = T;
  using device_type = Cpu;
  Var<T> w{Tensor<T>::full(Shape{3}, T(0.75F)), true};
  Var<T> operator()(const Var<T>& x, const Numbers<T, Cpu>&, const diffusion::Unconditional&) const {
    return autograd::mul(x, ops::per_channel(w));
  }
};

}  // namespace

TEST_CASE("Mixed precision: gradients of input and parameters cross from one type to the other") {
  const Scale<bfloat16> net;
  const nn::MixedPrecision mixed(net);
  static_assert(diffusion::Denoiser<decltype(mixed), float, Cpu, diffusion::Unconditional>);
  const Var<float> x(Tensor<float>::from({2, 3}, {1, 2, 3, 4, 5, 6}), true);
  const Var<float> y = mixed(x, Tensor<float>(Shape{2}), diffusion::Unconditional{});
  CHECK(y.value().to_vector() == std::vector<float>{0.75F, 1.5F, 2.25F, 3, 3.75F, 4.5F});
  autograd::backward(autograd::cast_loss<bfloat16>(autograd::sum(autograd::mul(y, y))));
  for (std::int64_t i = 0; i < 6; ++i) CHECK(x.grad()[i] == 2 * 0.75F * y.value()[i]);
  for (std::int64_t c = 0; c < 3; ++c) {
    float sum = 0;
    for (std::int64_t b = 0; b < 2; ++b) sum += 2 * y.value()[3 * b + c] * x.value()[3 * b + c];
    CHECK(static_cast<float>(net.w.grad()[c]) == doctest::Approx(sum).epsilon(0.01));
  }
  // Nothing to train: no tape.
  const autograd::NoGrad guard;
  CHECK_FALSE(mixed(x, Tensor<float>(Shape{2}), diffusion::Unconditional{}).requires_grad());
}

TEST_CASE("Mixed precision: a consistency loss and its gradients are float's, where 16 bits alone lose them") {
  const auto wide = distilled<Cpu, float, bfloat16>(), narrow = distilled<Cpu, bfloat16, bfloat16>(),
             both = mixed<bfloat16>();
  const auto loss = [](const auto& run) { return static_cast<double>(run[0][0]); };
  MESSAGE("loss " << loss(wide) << ", mixed " << loss(both) << ", 16 bits " << loss(narrow) << "; gradients apart "
                  << apart(both, wide) << " and " << apart(narrow, wide));
  CHECK(std::abs(loss(both) / loss(wide) - 1) < 0.1);
  CHECK(apart(both, wide) < 0.15);
  CHECK(apart(narrow, wide) > 2 * apart(both, wide));
}

TEST_CASE("Mixed precision: the training loop takes the loss, and the masters learn") {
  const Scale<bfloat16> net;
  const nn::MixedPrecision mixed(net);
  pipeline::TrainOptions options;
  options.steps = 120;
  options.learning_rate = [](std::int64_t) { return 1e-2; };
  (void)pipeline::train(options, optim::ParameterList<bfloat16>{{"w", net.w}}, [&](std::int64_t step) {
    const Var<float> x(ops::normal<float>(Shape{8, 3}, stream(1, "x", static_cast<std::uint64_t>(step))));
    const Var<float> y = mixed(x, Tensor<float>(Shape{8}), diffusion::Unconditional{});
    auto quarter = x.value().clone();
    for (float& v : quarter.span()) v *= 0.25F;
    return autograd::cast_loss<bfloat16>(autograd::mse(y, quarter));
  });
  for (const bfloat16 w : net.w.value().to_vector()) CHECK(std::abs(static_cast<float>(w) - 0.25F) < 0.05F);
}
