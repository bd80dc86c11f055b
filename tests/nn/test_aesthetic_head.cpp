// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/aesthetic_head.hpp>

#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"

using namespace hypersd;

namespace {

const nn::ScoreHeadConfig small{12, {10, 8, 6, 4}};

template <class Head>
void compare(const char* name) {
  using T = typename Head::value_type;
  CAPTURE(name);
  const golden::File file(name);
  Head head(small);
  file.load(head);
  const Var<T> x(file.get<T>("in.x"), true);
  const auto y = head(x);
  CHECK(golden::File::difference(y.value(), file.get<T>("out")) < golden::tolerance<T>);
  autograd::backward(y, file.get<T>("grad_out"));
  CHECK(golden::File::difference(x.grad(), file.get<T>("grad_in.x")) < golden::tolerance<T>);
  file.check_gradients(head, golden::tolerance<T>);
}

template <class Head>
std::vector<std::string> names(Head head) {
  std::vector<std::string> out;
  auto collect = [&](const std::string& name, auto&) { out.push_back(name); };
  head.visit(collect, "");
  return out;
}

/// The folded head, on embeddings of any norm.
template <class Head>
void folds(const nn::ScoreHeadConfig& config, double tolerance) {
  using T = typename Head::value_type;
  Head head(config);
  nn::init_parameters(head, 5);
  for (auto& p : nn::parameters(head))
    if (p.var.rank() == 1) p.var.value().copy_from(ops::normal<T>(p.var.shape(), stream(6, p.name)));
  const nn::FoldedHead folded = head.fold();
  CHECK(folded.weight.size() == static_cast<std::size_t>(config.embedding));
  const Var<T> x(ops::normal<T>({7, config.embedding}, stream(7, "x")));
  CHECK(golden::File::difference(folded(x).value(), head(x).value()) < tolerance);
  const auto zero = head(Var<T>(Tensor<T>::zeros({1, config.embedding}))).item();
  CHECK(static_cast<double>(zero) == doctest::Approx(folded.bias).epsilon(tolerance));
}

}  // namespace

TEST_CASE("aesthetic and ImageReward heads: output and gradients equal PyTorch's") {
  compare<nn::AestheticHead<float>>("aesthetic_head");
  compare<nn::AestheticHead<double>>("aesthetic_head");
  compare<nn::ImageRewardHead<float>>("image_reward_head");
  compare<nn::ImageRewardHead<double>>("image_reward_head");
}

TEST_CASE("heads: size and names of the published files") {
  const nn::AestheticHead<float> laion(nn::ScoreHeadConfig{});
  CHECK(nn::parameter_count(laion) == 927969);
  CHECK(names(laion) == std::vector<std::string>{"layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias",
                                                 "layers.4.weight", "layers.4.bias", "layers.6.weight", "layers.6.bias",
                                                 "layers.7.weight", "layers.7.bias"});
  const auto other = names(nn::ImageRewardHead<float>(nn::ScoreHeadConfig{}));
  CHECK(other.front() == "mlp.layers.0.weight");
  CHECK(other.back() == "mlp.layers.7.bias");
}

TEST_CASE("heads: a published file loads, other tensors in it are ignored") {
  nn::ImageRewardHead<float> head(small), loaded(small);
  nn::init_parameters(head, 3);
  io::SafetensorsWriter writer;
  for (const auto& [name, value] : nn::state_dict(head)) writer.add(name, value);
  writer.add("blip.visual_encoder.cls_token", Tensor<float>::zeros({1, 1, 4}));
  const auto file = io::SafetensorsFile::from_bytes(writer.to_bytes());
  CHECK_THROWS_AS(nn::load_state_dict(loaded, file), FormatError);
  nn::load_state_dict(loaded, file, "", false);
  const Var<float> x(ops::normal<float>({4, 12}, stream(1, "x")));
  CHECK(golden::File::difference(loaded(x).value(), head(x).value()) == 0);
  CHECK(nn::parameters(head)[1].var.value()[0] == 0.0F);  // fresh biases are zero
}

TEST_CASE("heads: fold gives the same scores") {
  folds<nn::AestheticHead<double>>(small, 1e-12);
  folds<nn::ImageRewardHead<double>>(small, 1e-12);
  folds<nn::AestheticHead<double>>({}, 1e-12);
  folds<nn::ImageRewardHead<double>>({}, 1e-12);
  folds<nn::AestheticHead<float>>({}, 2e-4);
  folds<nn::AestheticHead<double>>({3, {}}, 1e-12);
}

TEST_CASE("aesthetic head: the gradient is orthogonal to the embedding and inverse to its norm") {
  nn::AestheticHead<double> head(small);
  nn::init_parameters(head, 1);
  const auto gradient = [&](double length) {
    auto e = ops::normal<double>({1, 12}, stream(2, "e"));
    ops::map_into(e, ops::Affine<double>{length, 0}, e);
    const Var<double> x(e, true);
    autograd::backward(head(x));
    double along = 0, square = 0;
    for (int i = 0; i < 12; ++i) along += x.grad()[i] * e[i], square += x.grad()[i] * x.grad()[i];
    CHECK(std::abs(along) < 1e-12);
    return std::sqrt(square);
  };
  CHECK(gradient(10) == doctest::Approx(gradient(1) / 10).epsilon(1e-10));
  const auto zero = Var<double>(Tensor<double>::zeros({1, 12}), true);
  autograd::backward(head(zero));
  for (const double g : zero.grad().to_vector()) CHECK(std::isfinite(g));
}

TEST_CASE("heads: wrong sizes throw") {
  CHECK_THROWS_AS(nn::AestheticHead<float>({0, {}}), OptionError);
  CHECK_THROWS_AS(nn::AestheticHead<float>({4, {3, 0}}), OptionError);
  nn::AestheticHead<float> head(small);
  nn::init_parameters(head, 1);
  CHECK_THROWS_AS(head(Var<float>(Tensor<float>::zeros({2, 11}))), ShapeError);
}
