// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/parameter.hpp>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/conv.hpp>
#include <hypersd/nn/embedding.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/norm.hpp>
#include <hypersd/nn/state.hpp>

#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;

namespace {

/// Tensors of 16 bits, given as they are stored.
template <Narrow U>
struct Stored : nn::StateDictSource<U> {
  [[nodiscard]] ConstantTensor narrow(const std::string& name, bool copy) const {
    const auto& t = this->state.at(name);
    return ConstantTensor(copy ? t.clone() : t);
  }
};

/// One layer of each kind that computes with a weight of 16 bits, and a norm.
struct Net {
  using value_type = float;
  using device_type = Cpu;
  nn::Embedding<float> table{7, 6};
  nn::Linear<float> in{6, 8};
  nn::Conv2d<float> point{8, 5, 1}, conv{5, 4, 3}, down{4, 3, 3, 2};
  nn::LayerNorm<float> norm{8};

  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "table", table, "in", in, "point", point, "conv", conv, "down", down, "norm", norm);
  }
  /// ids [2, 16] and x [2, 16, 6], which is added.
  [[nodiscard]] Var<float> operator()(const Tensor<std::int32_t>& ids, const Var<float>& x) const {
    const auto h = norm(in(autograd::add(table(ids), x)));
    return down(conv(autograd::silu(point(autograd::reshape(h, {2, 4, 4, 8})))));
  }
};

template <Narrow U>
struct Both {
  nn::StateDict<U> state;
  Net kept, wide;
  Both() {
    Net random;
    nn::init_parameters(random, 3);
    for (const auto& [name, value] : nn::state_dict(random)) state.emplace(name, ops::cast<U>(value));
    nn::load_state_dict(kept, Stored<U>{{state}});
    nn::load_state_dict(wide, state);
    nn::set_requires_grad(kept, false);
    nn::set_requires_grad(wide, false);
  }
};

const Tensor<std::int32_t> ids = [] {
  Tensor<std::int32_t> out(Shape{2, 16});
  for (std::int32_t i = 0; i < 32; ++i) out[i] = i % 7;
  return out;
}();

/// The result and the gradients of x and of the adapters.
std::vector<std::vector<float>> run(Net& net) {
  const Var<float> x(numbers::normal<float>({2, 16, 6}, "x"), true);
  const auto y = net(ids, x);
  autograd::backward(y, numbers::normal<float>(y.shape(), "gy"));
  std::vector<std::vector<float>> out = {y.value().to_vector(), x.grad().to_vector()};
  for (auto& p : nn::lora_parameters(net)) {
    out.push_back(p.var.grad().to_vector());
    p.var.zero_grad();
  }
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("parameters held in 16 bits: results, gradients and tangents of float copies, to the last bit", U,
                   half, bfloat16) {
  Both<U> nets;
  CHECK(run(nets.kept) == run(nets.wide));

  const auto tangent = [](const Net& net) {
    Var<float> x(numbers::normal<float>({2, 16, 6}, "x"));
    x.set_tangent(numbers::normal<float>({2, 16, 6}, "dx"));
    return net(ids, x).tangent().to_vector();
  };
  CHECK(tangent(nets.kept) == tangent(nets.wide));

  for (Net* net : {&nets.kept, &nets.wide}) {
    nn::add_lora(*net, {.rank = 2}, 5);
    float value = 0.1F;
    for (auto& p : nn::lora_parameters(*net)) p.var.value().fill(value *= -0.9F);
  }
  const auto adapted = run(nets.wide);
  CHECK(adapted.size() == 2 + 8);
  CHECK(run(nets.kept) == adapted);
  CHECK(nets.kept.conv.weight.kept().defined());
}

TEST_CASE("parameters held in 16 bits: two bytes for each element of matrices and kernels, four of vectors") {
  Both<half> nets;
  // Vectors: five biases, and gain and offset of the norm.
  const std::int64_t vectors = 8 + 5 + 4 + 3 + 2 * 8, all = nn::parameter_count(nets.kept);
  CHECK(all == 7 * 6 + 8 * 6 + 5 * 8 + 4 * 9 * 5 + 3 * 9 * 4 + vectors);
  CHECK(nn::parameter_bytes(nets.kept) == 2 * (all - vectors) + 4 * vectors);
  CHECK(nn::parameter_bytes(nets.wide) == 4 * all);
  // A matrix is the source's own memory; a kernel of several taps has another layout.
  CHECK(static_cast<const void*>(nets.kept.in.weight.kept().bits()) == nets.state.at("in.weight").data());
  CHECK(static_cast<const void*>(nets.kept.point.weight.kept().bits()) == nets.state.at("point.weight").data());
  CHECK(static_cast<const void*>(nets.kept.conv.weight.kept().bits()) != nets.state.at("conv.weight").data());
  // Copies of a network share constants.
  const Net copy = nn::deep_copy(nets.kept);
  CHECK(copy.conv.weight.kept().bits() == nets.kept.conv.weight.kept().bits());
  CHECK(copy.norm.weight.value().data() != nets.kept.norm.weight.value().data());
}

TEST_CASE("parameters held in 16 bits: a merged adapter gives a float weight, and the base keeps its bits") {
  Both<half> nets;
  const auto before = run(nets.kept);
  for (Net* net : {&nets.kept, &nets.wide}) {
    nn::add_lora(*net, {.rank = 2, .targets = {"in", "conv"}}, 5);
    for (auto& p : nn::lora_parameters(*net)) p.var.value().fill(0.3F);
  }
  Net merged = nn::merge_lora(nets.kept), want = nn::merge_lora(nets.wide);
  CHECK(merged.in.weight.defined());
  CHECK(merged.conv.weight.defined());
  CHECK(merged.down.weight.kept().defined());
  CHECK(run(merged) == run(want));
  Net off = nn::merge_lora(nets.kept, {{"default", 0}});
  CHECK(off.conv.weight.kept().defined());
  CHECK(run(off) == before);
  nn::remove_lora(nets.kept);
  CHECK(run(nets.kept) == before);
  CHECK(nets.kept.in.weight.kept().bits() == off.in.weight.kept().bits());
}

TEST_CASE("parameters held in 16 bits: training, saving, copying and assigning them") {
  Both<bfloat16> nets;
  CHECK_FALSE(nets.kept.in.weight.defined());
  CHECK(nets.kept.in.weight.has_values());
  CHECK_FALSE(nets.kept.in.weight.requires_grad());
  CHECK_THROWS_WITH_AS((void)nets.kept.in.weight.value(),
                       "a parameter of shape [8, 6] holds constants: read them by get(), or call widen() first", Error);
  CHECK_THROWS_AS(nets.kept.in.weight.keep(ConstantTensor(Tensor<half>(Shape{8, 5}))), ShapeError);
  for (const auto& [name, value] : nn::state_dict(nets.kept))
    CHECK(value.to_vector() == nets.state.at(name).cast<float>().to_vector());
  Net copy;
  nn::copy_parameters(nets.kept, copy);
  CHECK(nn::parameter_bytes(copy) == nn::parameter_bytes(nets.wide));
  CHECK(run(copy) == run(nets.wide));

  Net trained = nn::deep_copy(nets.kept);
  nn::set_requires_grad(trained, true);
  CHECK(nn::parameters(trained).size() == nn::parameters(nets.wide).size());
  for (const auto& p : nn::parameters(trained)) CHECK(p.var.requires_grad());
  CHECK(run(trained) == run(nets.wide));
  CHECK(nets.kept.in.weight.kept().defined());

  nets.kept.in.weight.assign(Tensor<float>::ones({8, 6}));
  CHECK_FALSE(nets.kept.in.weight.kept().defined());
  CHECK(nets.kept.in.weight.value()[0] == 1.0F);
}
