// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/pack.hpp>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/state.hpp>

#include <doctest/doctest.h>

#include <numbers.hpp>
#include <thread>

using namespace hypersd;

namespace {

/// Layers whose weights are packed, the last one of too few rows for it.
struct Net {
  using value_type = float;
  using device_type = Cpu;
  nn::Linear<float> in{24, 48}, out{64, 5};
  nn::Conv2d<float> point{48, 128, 1}, conv{128, 128, 3}, down{128, 64, 3, 2};

  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "out", out, "point", point, "conv", conv, "down", down);
  }
  /// x [1, 16, 16, 24] -> [1, 8, 8, 5].
  [[nodiscard]] Var<float> operator()(const Var<float>& x) const {
    return out(down(conv(autograd::silu(point(in(x))))));
  }
};

Net random_net(std::uint64_t seed = 3) {
  Net net;
  nn::init_parameters(net, seed);
  nn::set_requires_grad(net, false);
  return net;
}
Var<float> input(bool requires_grad = false) {
  return Var<float>(numbers::normal<float>({1, 16, 16, 24}, "x"), requires_grad);
}
std::vector<float> result(const Net& net) { return net(input()).value().to_vector(); }

/// The result, its tangent, and the gradients of x and of the adapters.
std::vector<std::vector<float>> everything(Net& net) {
  Var<float> x = input(true);
  x.set_tangent(numbers::normal<float>(x.shape(), "dx"));
  const auto y = net(x);
  autograd::backward(y, numbers::normal<float>(y.shape(), "gy"));
  std::vector<std::vector<float>> out = {y.value().to_vector(), y.tangent().to_vector(), x.grad().to_vector()};
  for (auto& p : nn::lora_parameters(net)) out.push_back(p.var.grad().to_vector());
  return out;
}

}  // namespace

TEST_CASE("pack_weights: results, gradients and tangents have the same bits, weights take no more memory") {
  Net net = random_net(), halves = random_net();
  nn::for_each_layer(halves, [](const std::string&, auto& layer) {
    layer.weight.keep(ConstantTensor(ops::cast<half>(layer.weight.value())));
  });
  for (Net* n : {&net, &halves}) {
    const auto want = everything(*n);
    const auto state = nn::state_dict(*n);
    const std::int64_t bytes = nn::parameter_bytes(*n);
    nn::pack_weights(*n);
    CHECK(n->conv.weight.kept().strip() > 0);
    CHECK_FALSE(n->conv.weight.defined());
    CHECK(n->out.weight.kept().strip() == 0);  // five rows
    CHECK(everything(*n) == want);
    CHECK(nn::parameter_bytes(*n) == bytes);
    for (const auto& [name, value] : nn::state_dict(*n)) CHECK(value.to_vector() == state.at(name).to_vector());
  }
  CHECK(net.out.weight.defined());
}

TEST_CASE("pack_weights: copies share packed weights, and variables that others hold stay theirs") {
  Net net = random_net();
  const Net before = net;
  const auto want = result(net);
  nn::pack_weights(net);
  const Net shared = net, copy = nn::deep_copy(net);
  CHECK(shared.conv.weight.kept().floats() == net.conv.weight.kept().floats());
  CHECK(copy.conv.weight.kept().floats() == net.conv.weight.kept().floats());
  // An update in place, as an optimizer does it.
  for (float& x : before.conv.weight.value().span()) x *= 2;
  CHECK(result(before) != want);
  CHECK(result(net) == want);
  CHECK(result(copy) == want);
}

TEST_CASE("pack_weights: weights that are trained, loaded or assigned are no longer the packed ones") {
  Net net = random_net();
  nn::pack_weights(net);
  (void)result(net);
  Net other = random_net(4);
  const auto want = result(other);
  SUBCASE("trained") {
    nn::set_requires_grad(net, true);
    CHECK(nn::parameters(net).size() == 10);
    for (const auto& p : nn::parameters(net)) {
      CHECK(p.var.requires_grad());
      for (const auto& q : nn::parameters(other))
        if (q.name == p.name) p.var.value().copy_from(q.var.value());
    }
  }
  SUBCASE("loaded") { nn::load_state_dict(net, nn::state_dict(other)); }
  SUBCASE("copied") { nn::copy_parameters(other, net); }
  CHECK(result(net) == want);
  nn::pack_weights(net);
  CHECK(result(net) == want);
}

TEST_CASE("pack_weights: adapters are added to packed weights, and merged ones are packed") {
  Net net = random_net(), packed = random_net();
  nn::pack_weights(packed);
  for (Net* n : {&net, &packed}) {
    nn::add_lora(*n, {.rank = 2, .targets = {"in", "conv"}}, 5);
    for (auto& p : nn::lora_parameters(*n)) p.var.value().fill(0.02F);
  }
  CHECK(everything(packed) == everything(net));
  // Adapters that are not trained are summed, as merged ones are.
  for (Net* n : {&net, &packed}) nn::set_requires_grad(*n, false);
  const auto want = result(net);
  Net merged = nn::merge_lora(packed);
  CHECK(merged.conv.weight.defined());
  CHECK(merged.down.weight.kept().strip() > 0);
  nn::pack_weights(merged);
  CHECK(merged.conv.weight.kept().strip() > 0);
  CHECK(result(merged) == want);
  // A weight with an active adapter stays a variable.
  nn::pack_weights(net);
  CHECK(net.conv.weight.defined());
  CHECK(net.down.weight.kept().strip() > 0);
  CHECK(result(net) == want);
}

TEST_CASE("pack_weights: threads that call one network at the same time get the same bits") {
  Net net = random_net();
  nn::pack_weights(net);
  Net alone = random_net();
  nn::pack_weights(alone);
  const auto want = result(alone);
  std::vector<std::vector<float>> got(3);
  std::vector<std::thread> threads;
  for (auto& y : got) threads.emplace_back([&] { y = result(net); });
  for (auto& t : threads) t.join();
  for (const auto& y : got) CHECK(y == want);
}
