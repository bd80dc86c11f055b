// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/lora_state.hpp>

#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/models/classifier.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

nn::Classifier<float> network() {
  nn::Classifier<float> net(nn::ClassifierConfig{.channels = {8}, .features = 8, .norm_num_groups = 4});
  nn::init_parameters(net, 1);
  return net;
}
Tensor<float> run(const nn::Classifier<float>& net) {
  const autograd::NoGrad guard;
  return net(Var<float>(ops::normal<float>({1, 8, 8, 1}, stream(1, "x")))).value();
}
/// A trained adapter's tensors.
nn::StateDict<float> adapter(nn::Classifier<float>& net, std::int64_t rank) {
  nn::add_lora(net, {.rank = rank, .alpha = 2}, 3);
  for (auto& p : nn::lora_parameters(net))
    p.var.value().copy_from(ops::normal<float>(p.var.shape(), stream(5, p.name)));
  return nn::lora_state(net);
}

}  // namespace

TEST_CASE("lora state: file layout, round trip, weight at loading") {
  auto net = network();
  auto state = adapter(net, 3);
  CHECK(state.at("blocks.1.conv.lora_A.weight").shape() == Shape{3, 8, 3, 3});
  CHECK(state.at("blocks.1.conv.lora_B.weight").shape() == Shape{8, 3, 1, 1});
  CHECK(state.at("head.lora_A.weight").shape() == Shape{3, 8});
  CHECK(state.at("head.lora_B.weight").shape() == Shape{10, 3});
  CHECK(state.at("head.alpha").item() == 2.0F);
  const auto& down = net.blocks[1].conv.adapters[0].down.value();
  CHECK(state.at("blocks.1.conv.lora_A.weight")[1] == down[8]);  // [0, 0, 0, 1] there is [0, 0, 1, 0] here

  auto other = network();
  nn::load_lora_state(other, state, "mine");
  CHECK(golden::File::difference(run(other), run(net)) == 0);
  for (const auto& p : nn::lora_parameters(other, "mine")) CHECK_FALSE(p.var.requires_grad());
  auto off = network();
  nn::load_lora_state(off, state, "mine", 0);
  CHECK(golden::File::difference(run(off), run(network())) == 0);

  // The state is a copy.
  state.at("head.lora_A.weight").fill(0);
  CHECK(golden::File::difference(run(other), run(net)) == 0);
}

TEST_CASE("lora state: a missing alpha is the rank, and 1x1 convolutions load from matrices") {
  auto net = network();
  auto state = adapter(net, 2);  // alpha = 2 = rank
  for (auto it = state.begin(); it != state.end();)
    it = it->first.find(".alpha") != std::string::npos ? state.erase(it) : std::next(it);
  auto& head = state.at("head.lora_A.weight");
  head = head.reshape({2, 8, 1, 1});
  auto& last = state.at("blocks.2.conv.lora_A.weight");
  last = last.reshape({2, 8});
  auto& up = state.at("blocks.2.conv.lora_B.weight");
  up = up.reshape({8, 2});
  auto other = network();
  nn::load_lora_state(other, state);
  CHECK(golden::File::difference(run(other), run(net)) == 0);
}

TEST_CASE("lora state: faulty states throw and change nothing") {
  auto net = network();
  const auto good = adapter(net, 2);
  auto other = network();
  const auto before = run(other);

  auto state = good;
  state.emplace("decoder.conv.lora_A.weight", Tensor<float>::zeros({2, 8}));
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("'decoder.conv' has no lora_B"),
                       FormatError);
  state.emplace("decoder.conv.lora_B.weight", Tensor<float>::zeros({8, 2}));
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("no layer 'decoder.conv'"), FormatError);

  state = good;
  state.at("head.lora_A.weight") = Tensor<float>::zeros({2, 9});
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("'head' of shape [10, 8]"), ShapeError);
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("[2, 9]"), ShapeError);
  state.at("head.lora_A.weight") = Tensor<float>::zeros({0, 8});
  CHECK_THROWS_AS(nn::load_lora_state(other, state), ShapeError);

  state = good;
  state.at("head.alpha") = Tensor<float>::zeros({2});
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("alpha"), ShapeError);
  state.at("head.alpha") = Tensor<float>::full({1}, NAN);
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("alpha"), FormatError);

  state = good;
  state.emplace("head.dora_scale", Tensor<float>::zeros({1}));
  CHECK_THROWS_WITH_AS(nn::load_lora_state(other, state), doctest::Contains("head.dora_scale"), FormatError);
  CHECK_THROWS_AS(nn::load_lora_state(other, nn::StateDict<float>{}), FormatError);
  CHECK_THROWS_AS((void)nn::lora_state(other, "none"), OptionError);
  CHECK_THROWS_WITH_AS(nn::load_lora_state(net, good), doctest::Contains("already"), OptionError);
  CHECK(golden::File::difference(run(other), before) == 0);
}
