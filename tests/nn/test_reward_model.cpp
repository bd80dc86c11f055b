// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/reward_model.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet_encoder.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

const nn::RewardModelConfig small{
    .in_channels = 2, .caption = 5, .channels = {4, 6}, .features = 8, .norm_num_groups = 2};

template <class T>
void compare() {
  const golden::File file("reward_model");
  nn::RewardModel<T> net(small);
  file.load(net);
  const Var<T> x(file.image<T>("in.x"), true), caption(file.get<T>("in.caption"), true);
  const auto y = net(x, caption);
  CHECK(golden::File::difference(y.value(), file.get<T>("out")) < golden::tolerance<T>);
  autograd::backward(y, file.get<T>("grad_out"));
  CHECK(golden::File::difference(x.grad(), file.image<T>("grad_in.x")) < golden::tolerance<T>);
  CHECK(golden::File::difference(caption.grad(), file.get<T>("grad_in.caption")) < golden::tolerance<T>);
  file.check_gradients(net, golden::tolerance<T>);
}

}  // namespace

TEST_CASE("reward model: output and gradients equal PyTorch's") {
  compare<float>();
  compare<double>();
}

TEST_CASE("reward model: a caption is a vector, tokens, or the condition of a UNet") {
  nn::RewardModel<float> net(nn::RewardModelConfig{});
  nn::init_parameters(net, 1);
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({3, 32, 32, 1}, stream(1, "x")));
  const auto caption = ops::normal<float>({3, 64}, stream(1, "caption"));
  const auto r = net(x, caption);
  CHECK(r.shape() == Shape{3});
  const Var<float> tokens(caption.reshape(Shape{3, 1, 64}));
  CHECK(golden::File::difference(net(x, tokens).value(), r.value()) < 1e-6);
  CHECK(golden::File::difference(net(x, nn::UnetCondition<float>{tokens, {}}).value(), r.value()) < 1e-6);
  CHECK_THROWS_AS(net(x, ops::normal<float>({3, 63}, stream(1, "caption"))), ShapeError);
  CHECK_THROWS_AS(net(x, ops::normal<float>({2, 64}, stream(1, "caption"))), ShapeError);
}
