// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/state.hpp>

#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/models/classifier.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

nn::Classifier<float> network(std::uint64_t seed) {
  nn::Classifier<float> net(nn::ClassifierConfig{.channels = {8}, .features = 8, .norm_num_groups = 4});
  if (seed) nn::init_parameters(net, seed);
  return net;
}

}  // namespace

TEST_CASE("state: round trip in file layout, into a network without values too") {
  auto net = network(1);
  auto state = nn::state_dict(net);
  CHECK(state.size() == static_cast<std::size_t>(nn::count_parameters(net).tensors));
  const auto& in_file = state.at("blocks.1.conv.weight");
  CHECK(in_file.shape() == Shape{8, 8, 3, 3});
  CHECK(in_file[1] == net.blocks[1].conv.weight.value()[8]);
  auto other = network(0);
  nn::load_state_dict(other, state);
  for (const auto& [name, value] : nn::state_dict(other)) CHECK(golden::File::difference(value, state.at(name)) == 0);

  // Copies both ways.
  state.at("head.bias").fill(7);
  CHECK(net.head.bias.value()[0] != 7.0F);
  CHECK(other.head.bias.value()[0] != 7.0F);
}

TEST_CASE("state: without adapters, with a prefix, converted to other element types") {
  auto net = network(1);
  nn::add_lora(net, {.rank = 2});
  const auto state = nn::state_dict(net, "classifier");
  for (const auto& entry : state) {
    CHECK(entry.first.rfind("classifier.", 0) == 0);
    CHECK(entry.first.find("lora") == std::string::npos);
  }
  nn::StateDict<double> wide;
  for (const auto& [name, value] : state) wide.emplace(name, value.cast<double>());
  auto other = network(0);
  nn::load_state_dict(other, wide, "classifier");
  CHECK(golden::File::difference(other.head.weight.value(), net.head.weight.value()) == 0);
}

TEST_CASE("state: 1x1 convolutions load from matrices and the reverse") {
  auto net = network(1);
  auto state = nn::state_dict(net);
  auto& w = state.at("blocks.2.conv.weight");
  w = w.reshape({8, 8});
  auto& head = state.at("head.weight");
  head = head.reshape({10, 8, 1, 1});
  auto other = network(0);
  nn::load_state_dict(other, state);
  CHECK(golden::File::difference(other.blocks[2].conv.weight.value(), net.blocks[2].conv.weight.value()) == 0);
}

TEST_CASE("state: a checkpoint of another architecture throws and changes nothing") {
  auto net = network(1);
  const auto before = nn::state_dict(net);
  auto state = nn::state_dict(network(2));

  state.erase("head.bias");
  CHECK_THROWS_WITH_AS(nn::load_state_dict(net, state), doctest::Contains("1 missing ('head.bias'), 0 unexpected"),
                       FormatError);
  state.emplace("betas", Tensor<float>::zeros({3}));
  CHECK_THROWS_WITH_AS(nn::load_state_dict(net, state), doctest::Contains("1 unexpected ('betas')"), FormatError);
  CHECK_THROWS_WITH_AS(nn::load_state_dict(net, state), doctest::Contains("another architecture"), FormatError);

  state.emplace("head.bias", Tensor<float>::zeros({11}));
  CHECK_THROWS_WITH_AS(nn::load_state_dict(net, state, "", false),
                       doctest::Contains("'head.bias' has shape [11], [10] needed"), ShapeError);
  // Another shape with as many elements throws.
  state.at("head.bias") = Tensor<float>::zeros({10});
  state.at("head.weight") = Tensor<float>::zeros({8, 10});
  CHECK_THROWS_AS(nn::load_state_dict(net, state, "", false), ShapeError);
  for (const auto& [name, value] : nn::state_dict(net)) CHECK(golden::File::difference(value, before.at(name)) == 0);

  state.at("head.weight") = Tensor<float>::ones({10, 8});
  nn::load_state_dict(net, state, "", false);
  CHECK(net.head.weight.value()[0] == 1.0F);
}

TEST_CASE("state: a safetensors file is a source of tensors") {
  static_assert(nn::TensorSource<io::SafetensorsFile, float>);
  const golden::File file("resnet_same");
  io::SafetensorsFile raw(std::string(HYPERSD_TEST_DATA) + "/resnet_same.safetensors");
  nn::Conv2d<float> conv(16, 16);
  nn::load_state_dict(conv, raw, "param.conv1", false);
  CHECK(golden::File::difference(nn::to_file_layout(conv.weight.value()), file.get<float>("param.conv1.weight")) == 0);
  CHECK_THROWS_AS(nn::load_state_dict(conv, raw, "param.conv1"), FormatError);
}
