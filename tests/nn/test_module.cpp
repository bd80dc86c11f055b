// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/module.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/classifier.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

struct Pair {
  using value_type = float;
  using device_type = Cpu;
  std::vector<nn::Linear<float>> layers;
  std::optional<nn::Linear<float>> extra;
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "layers", layers, "extra", extra);
  }
};
static_assert(nn::Module<Pair>);
static_assert(!nn::Module<int>);

}  // namespace

TEST_CASE("module: names of nested, repeated and absent members") {
  Pair pair;
  pair.layers = {nn::Linear<float>(2, 3), nn::Linear<float>(3, 1, false)};
  CHECK(nn::parameters(pair).empty());  // declared only
  CHECK(nn::count_parameters(pair) == nn::ParameterCount{6 + 3 + 3, 3});
  nn::init_parameters(pair, 1);
  std::vector<std::string> names;
  for (const auto& p : nn::parameters(pair, "net")) names.push_back(p.name);
  CHECK(names == std::vector<std::string>{"net.layers.0.weight", "net.layers.0.bias", "net.layers.1.weight"});
  pair.extra.emplace(1, 1);
  CHECK(nn::count_parameters(pair).tensors == 5);
}

TEST_CASE("module: a copy shares values, a deep copy does not") {
  Pair pair;
  pair.layers = {nn::Linear<float>(2, 3)};
  nn::init_parameters(pair, 1);
  Pair shared = pair, own = nn::deep_copy(pair);
  pair.layers[0].weight.value()[0] = 42;
  CHECK(shared.layers[0].weight.value()[0] == 42.0F);
  CHECK(own.layers[0].weight.value()[0] != 42.0F);

  nn::copy_parameters(pair, own);
  CHECK(own.layers[0].weight.value()[0] == 42.0F);
  own.layers[0].weight.value()[0] = 1;
  CHECK(pair.layers[0].weight.value()[0] == 42.0F);

  nn::set_requires_grad(pair, false);
  CHECK_FALSE(shared.layers[0].weight.requires_grad());
  CHECK(own.layers[0].weight.requires_grad());
  CHECK_FALSE(nn::deep_copy(pair).layers[0].bias.requires_grad());

  Pair more;
  more.layers = {nn::Linear<float>(2, 3), nn::Linear<float>(3, 3)};
  nn::init_parameters(more, 1);
  CHECK_THROWS_AS(nn::copy_parameters(pair, more), FormatError);
  CHECK_THROWS_AS(nn::copy_parameters(Pair(more), pair), FormatError);
}

TEST_CASE("module: values copied to another element type") {
  nn::Linear<float> a(3, 2);
  nn::Linear<double> b(3, 2);
  nn::init_parameters(a, 1);
  nn::copy_parameters(a, b);
  for (std::int64_t i = 0; i < a.weight.size(); ++i)
    CHECK(b.weight.value()[i] == static_cast<double>(a.weight.value()[i]));
}

TEST_CASE("init: depends on name and seed only, with the bounds of PyTorch") {
  nn::Classifier<float> a(nn::ClassifierConfig{}), b(nn::ClassifierConfig{});
  nn::Conv2d<float> alone(24, 24);
  nn::init_parameters(a, 5);
  nn::init_parameters(b, 6);
  nn::init_parameters(alone, 5, "blocks.1.conv");
  CHECK(golden::File::difference(a.blocks[1].conv.weight.value(), alone.weight.value()) == 0);
  CHECK(golden::File::difference(a.blocks[1].conv.weight.value(), b.blocks[1].conv.weight.value()) > 0);

  const auto& w = a.blocks[1].conv.weight.value();
  const float bound = 1 / std::sqrt(24.0F * 9);
  double square = 0;
  for (const float v : w.span()) {
    CHECK(std::abs(v) <= bound);
    square += static_cast<double>(v) * v;
  }
  CHECK(square / static_cast<double>(w.size()) == doctest::Approx(bound * bound / 3).epsilon(0.05));
  for (const float v : a.blocks[0].norm.weight.value().span()) CHECK(v == 1.0F);
  for (const float v : a.blocks[0].norm.bias.value().span()) CHECK(v == 0.0F);
}

TEST_CASE("parameters: requires_grad may be set before there are values") {
  nn::Linear<float> frozen(2, 2);
  nn::set_requires_grad(frozen, false);
  nn::init_parameters(frozen, 1);
  CHECK_FALSE(frozen.weight.requires_grad());
  CHECK_THROWS_AS(frozen.weight.assign(Tensor<float>::zeros({3, 2})), ShapeError);
  CHECK_THROWS_AS(nn::Linear<float>(2, 2)(Var<float>(Tensor<float>::zeros({1, 2}))), Error);
}
