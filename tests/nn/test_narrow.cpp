// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/lora_state.hpp>
#include <hypersd/nn/models/aesthetic_head.hpp>
#include <hypersd/nn/models/controlnet.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/nn/models/reward_model.hpp>
#include <hypersd/nn/models/segmenter.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/ops/cast.hpp>

#include <network_runs.hpp>
#include <temp_folder.hpp>

using namespace hypersd;
using network_runs::small;

namespace {

template <class T>
nn::Unet<T> unet(std::uint64_t seed) {
  nn::Unet<T> net(small());
  nn::init_parameters(net, seed);
  return net;
}

/// Whether both networks hold the same numbers.
template <class A, class B>
bool same(A& a, B& b) {
  const auto x = nn::parameters(a), y = nn::parameters(b);
  bool all = x.size() == y.size();
  for (std::size_t i = 0; all && i < x.size(); ++i) all = numbers::distance(x[i].var.value(), y[i].var.value()) == 0;
  return all;
}

template <class T>
Tensor<float> predicted(const nn::Unet<T>& net, const nn::ControlResiduals<T>* control = nullptr) {
  const auto x = ops::cast<T>(numbers::normal<float>({2, 5, 4, 4}, "x"));
  const nn::UnetCondition<T> told{Var<T>(ops::cast<T>(numbers::normal<float>({2, 3, 12}, "tokens"))), {}};
  return ops::cast<float>(net(Var<T>(x), Tensor<float>::from({2}, {999, 3.5}), told, control).value());
}

}  // namespace

TEST_CASE("Initial bfloat16 parameters are the float32 ones, rounded") {
  auto wide = unet<float>(5), rounded = unet<float>(6);
  auto net = unet<bfloat16>(5);
  CHECK_FALSE(same(net, wide));
  for (const auto& p : nn::parameters(wide))
    Var<float>(p.var).set_value(ops::cast<float>(ops::cast<bfloat16>(p.var.value())));
  CHECK(same(net, wide));
  nn::copy_parameters(net, rounded);
  CHECK(same(rounded, wide));
}

TEST_CASE("bfloat16 networks load and save float32 files and state dicts") {
  const auto wide = unet<float>(5);
  auto want = unet<bfloat16>(5), got = unet<bfloat16>(6);
  nn::load_state_dict(got, nn::state_dict(wide));
  CHECK(same(got, want));
  const test::TempFolder folder;
  const auto saved = [&](const std::string& name, const auto& state) {
    io::SafetensorsWriter writer;
    for (const auto& [key, tensor] : state) writer.add(key, tensor);
    writer.write(folder / name);
    return io::SafetensorsFile(folder / name);
  };
  auto from_float = unet<bfloat16>(6);
  nn::load_state_dict(from_float, saved("float.safetensors", nn::state_dict(wide)));
  CHECK(same(from_float, want));
  auto back = unet<float>(6);
  const auto file = saved("bf16.safetensors", nn::state_dict(want));
  CHECK(file.info("conv_in.weight").dtype == io::DType::BF16);
  nn::load_state_dict(back, file);
  CHECK(same(back, want));
}

TEST_CASE("A bfloat16 network distinguishes times near 1000") {
  const nn::SinusoidalFeatures<bfloat16> features(32);
  const nn::SinusoidalFeatures<float> wide(32);
  const auto t = Tensor<float>::from({2}, {999, 998});
  CHECK(numbers::distance(features(t), ops::cast<bfloat16>(wide(t))) == 0);
  CHECK(numbers::distance(features(t.slice(0, 1)), features(t.slice(1, 2))) > 0.1);
}

TEST_CASE("A float32 LoRA on a bfloat16 network: loaded, merged, saved") {
  auto teacher = unet<float>(5);
  nn::add_lora(teacher, {.rank = 2, .alpha = 3}, 4);
  for (auto& p : nn::lora_parameters(teacher)) p.var.set_value(ops::map(ops::Affine<float>{1, 0.05F}, p.var.value()));
  const auto want = predicted(teacher);
  auto net = unet<bfloat16>(5);
  const auto plain = predicted(net);
  nn::load_lora_state(net, nn::lora_state(teacher));
  const double reach = numbers::distance(want, predicted(unet<float>(5)));
  CHECK(numbers::distance(predicted(net), want) < 0.1 * reach);
  CHECK(numbers::distance(predicted(nn::merge_lora(net)), predicted(net)) == 0);
  auto again = unet<float>(5);
  nn::load_lora_state(again, nn::lora_state(net));
  CHECK(numbers::distance(predicted(again), want) < 0.1 * reach);
  nn::remove_lora(net);
  CHECK(numbers::distance(predicted(net), plain) == 0);
}

TEST_CASE("A bfloat16 UNet with ControlNet agrees with the float32 one") {
  const auto steered = []<class T>(T) {
    const auto net = unet<T>(5);
    nn::ControlNet<T> control(nn::ControlNetConfig{small(), 3, {8, 8}});
    nn::init_parameters(control, 8);
    for (const auto& p : nn::parameters(control))
      Var<T>(p.var).set_value(ops::map(ops::Affine<float>{1, 0.02F}, p.var.value()));
    const auto x = ops::cast<T>(numbers::normal<float>({2, 5, 4, 4}, "x"));
    const auto hint = ops::cast<T>(numbers::normal<float>({2, 10, 8, 3}, "hint"));
    const nn::UnetCondition<T> told{Var<T>(ops::cast<T>(numbers::normal<float>({2, 3, 12}, "tokens"))), {}};
    const auto residuals = control(Var<T>(x), Tensor<float>::from({2}, {999, 3.5}), told, Var<T>(hint), 0.7);
    return predicted(net, &residuals);
  };
  const auto want = steered(float{});
  CHECK(numbers::distance(steered(bfloat16{}), want) < 0.04);
  CHECK(numbers::distance(predicted(unet<float>(5)), want) > 0.15);
}

TEST_CASE("Classifier, reward model, heads and segmenter in bfloat16 agree with float32") {
  const auto judged = []<class T>(T) {
    const auto fresh = [](auto net) {
      nn::init_parameters(net, 2);
      return net;
    };
    const auto in = [](const Shape& shape) { return Var<T>(ops::cast<T>(numbers::normal<float>(shape, "in"))); };
    const auto critic = fresh(nn::Discriminator<T>(nn::DiscriminatorConfig{.feature_channels = {8}, .hidden = 8}));
    const auto reward = fresh(nn::RewardModel<T>(nn::RewardModelConfig{
        .in_channels = 2, .caption = 5, .channels = {4, 6}, .features = 8, .norm_num_groups = 2}));
    const auto head = fresh(nn::AestheticHead<T>({12, {}}));
    const auto segmenter = fresh(nn::Segmenter<T>(nn::SegmenterConfig{.channels = {8, 8}, .head = 8}, 16));
    const auto instances = segmenter(in({1, 16, 16, 1}));
    return std::vector<Tensor<float>>{network_runs::result(critic({in({2, 4, 4, 8})}).value()),
                                      network_runs::result(reward(in({2, 8, 8, 2}), in({2, 5})).value()),
                                      network_runs::result(head(in({3, 12})).value()),
                                      network_runs::result(instances.category.value()),
                                      network_runs::result(instances.mask.value())};
  };
  CHECK(network_runs::difference(judged(bfloat16{}), judged(float{})) < 0.03);
}
