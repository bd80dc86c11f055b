// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/lora.hpp>

#include <hypersd/nn/models/unet.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"

#include <numbers.hpp>

using namespace hypersd;

namespace {

nn::UnetConfig tiny() {
  nn::UnetConfig c;
  c.block_out_channels = {8, 16};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  return c;
}

struct Fixture {
  nn::Unet<float> net{tiny()};
  Var<float> x{ops::normal<float>({2, 8, 8, 4}, stream(1, "x"))};
  Tensor<float> t = Tensor<float>::from({2}, {999, 3});
  nn::UnetCondition<float> c{Var<float>(ops::normal<float>({2, 3, 12}, stream(1, "c"))), {}};

  Fixture() { nn::init_parameters(net, 7); }
  [[nodiscard]] Tensor<float> run(const nn::Unet<float>& n) const {
    const autograd::NoGrad guard;
    return n(x, t, c).value();
  }
  /// An adapter has no effect while `up` is zero.
  static void train(nn::Unet<float>& n, const std::string& name, std::uint64_t seed) {
    for (auto& p : nn::lora_parameters(n, name))
      if (p.name.find("lora_B") != std::string::npos)
        p.var.value().copy_from(ops::uniform<float>(p.var.shape(), stream(seed, p.name), -0.1F, 0.1F));
  }
};

}  // namespace

TEST_CASE("lora: layer and value counts of published adapters, without allocation") {
  const auto count = [](const nn::UnetConfig& config) {
    nn::Unet<float> net(config);
    const auto layers = nn::add_lora(net, {.rank = 64, .targets = nn::stable_diffusion_targets()});
    const auto n = nn::lora_count(net);
    CHECK(n.tensors == layers);
    return std::pair(layers, n.elements + layers);  // one alpha per layer
  };
  CHECK(count(nn::UnetConfig::sd15()) == std::pair<std::int64_t, std::int64_t>(278, 67252502));
  CHECK(count(nn::UnetConfig::sdxl()) == std::pair<std::int64_t, std::int64_t>(788, 196752148));
}

TEST_CASE("lora: a fresh adapter is bitwise the base; the base is frozen, the factors are trained") {
  Fixture f;
  const auto before = f.run(f.net);
  const auto base = nn::count_parameters(f.net);
  const auto layers = nn::add_lora(f.net, {.rank = 4, .alpha = 8}, 3);
  const auto after = f.run(f.net);
  for (std::int64_t i = 0; i < before.size(); ++i) CHECK(before[i] == after[i]);
  CHECK(nn::count_parameters(f.net) == base);

  const auto factors = nn::lora_parameters(f.net);
  CHECK(static_cast<std::int64_t>(factors.size()) == 2 * layers);
  autograd::backward(autograd::mse(f.net(f.x, f.t, f.c), f.x));
  std::size_t trained = 0;
  for (const auto& p : nn::parameters(f.net)) {
    const bool factor = p.name.find("lora_") != std::string::npos;
    CHECK(p.var.requires_grad() == factor);
    CHECK(p.var.grad().defined() == factor);
    trained += factor ? 1 : 0;
  }
  CHECK(trained == factors.size());
}

TEST_CASE("lora: lora_parameters trains the factors of one name only") {
  Fixture f;
  std::int64_t named = 0;
  for (const auto& p : nn::parameters(f.net))
    named += p.name.ends_with(".to_q.weight") || p.name.ends_with(".to_out.0.weight") ? 1 : 0;
  REQUIRE(named > 0);
  CHECK(nn::add_lora(f.net, {.rank = 2, .name = "attention", .targets = {"to_q", "to_out.0"}}) == named);
  CHECK(nn::lora_count(f.net, "attention").tensors == named);
  for (const auto& p : nn::lora_parameters(f.net, "attention"))
    CHECK((p.name.find(".to_q.lora_") != std::string::npos || p.name.find(".to_out.0.lora_") != std::string::npos));
  CHECK(nn::is_lora_target("a.b.conv1", {"conv1"}));
  CHECK(nn::is_lora_target("conv1", {"conv1"}));
  CHECK_FALSE(nn::is_lora_target("a.myconv1", {"conv1"}));
  CHECK_THROWS_AS(nn::add_lora(f.net, {.rank = 0}), OptionError);
  CHECK_THROWS_AS(nn::add_lora(f.net, {.name = ""}), OptionError);
  CHECK_THROWS_AS(nn::add_lora(f.net, {.name = "other", .targets = {"nothing"}}), OptionError);
  CHECK_THROWS_WITH_AS(nn::add_lora(f.net, {.name = "attention"}), doctest::Contains("already"), OptionError);
}

TEST_CASE("lora: merged equals unmerged; weighted adapters add up and can be removed") {
  Fixture f;
  const auto base = f.run(f.net);
  nn::add_lora(f.net, {.rank = 4, .name = "a"}, 3);
  nn::add_lora(f.net, {.rank = 2, .alpha = 3, .name = "b"}, 4);
  Fixture::train(f.net, "a", 5);
  Fixture::train(f.net, "b", 6);
  const auto both = f.run(f.net);
  CHECK(golden::File::difference(both, base) > 1e-3);

  const auto merged = nn::merge_lora(f.net);
  CHECK(nn::lora_count(merged, "a").tensors == 0);
  CHECK(golden::File::difference(f.run(merged), both) < 1e-5);
  for (const auto& weights : {std::map<std::string, double>{{"a", 0.5}, {"b", -1}}, {{"a", 0}, {"b", 0}}}) {
    nn::set_lora_weights(f.net, weights);
    CHECK(golden::File::difference(f.run(nn::merge_lora(f.net)), f.run(f.net)) < 1e-5);
  }
  CHECK(golden::File::difference(f.run(f.net), base) == 0);
  CHECK(golden::File::difference(f.run(nn::merge_lora(f.net, {{"a", 1}, {"b", 1}})), both) < 1e-5);

  // W + a + b, whichever comes first: the sum of the parts.
  const auto one = nn::merge_lora(f.net, {{"a", 1}}), two = nn::merge_lora(f.net, {{"b", 1}});
  const auto w = [](const nn::Unet<float>& n) { return n.conv_out.weight.value(); };
  const auto all = w(merged);
  for (std::int64_t i = 0; i < all.size(); ++i)
    CHECK(all[i] == doctest::Approx(w(one)[i] + w(two)[i] - w(f.net)[i]).epsilon(1e-5));

  nn::remove_lora(f.net, "a");
  nn::remove_lora(f.net, "b");
  CHECK(golden::File::difference(f.run(f.net), base) == 0);
  CHECK_THROWS_AS(nn::set_lora_weights(f.net, {{"a", 1}}), OptionError);
}

TEST_CASE("lora: later updates of the factors do not change a merged network") {
  Fixture f;
  nn::add_lora(f.net, {.rank = 4}, 3);
  Fixture::train(f.net, "default", 5);
  const auto merged = nn::merge_lora(f.net, {{"default", 0}});
  const auto before = f.run(merged);
  nn::Unet<float> copy = nn::deep_copy(f.net);
  Fixture::train(f.net, "default", 9);
  f.net.conv_out.weight.value().fill(0);
  CHECK(golden::File::difference(f.run(merged), before) == 0);
  CHECK(golden::File::difference(f.run(copy), f.run(f.net)) > 0);
  for (const auto& p : nn::parameters(copy))
    CHECK(p.var.requires_grad() == (p.name.find("lora_") != std::string::npos));
}

TEST_CASE("lora: gradients of the low-rank update by finite differences") {
  const auto result = testing::gradcheck(
      [](const std::vector<Var<double>>& in) { return nn::low_rank_update(in[0], in[1], in[2], -0.7); },
      {ops::normal<double>({3, 2, 2, 2}, stream(1, "w")), ops::normal<double>({3, 2}, stream(1, "up")),
       ops::normal<double>({2, 2, 2, 2}, stream(1, "down"))});
  CHECK_MESSAGE(result.ok, result.message);
}

TEST_CASE_TEMPLATE("lora: weights, outputs and gradients of the reference", T, float, double) {
  const golden::File file("lora");
  const auto check = [&](const std::string& kind, auto layer, const auto& activation, const auto& restore) {
    INFO(kind);
    const auto get = [&](const std::string& name) { return file.get<T>(kind + "." + name); };
    layer.weight.assign(nn::from_file_layout(get("base.weight"), layer.weight.shape()));
    layer.bias.assign(get("base.bias"));
    for (int i = 0; file.contains(kind + ".a" + std::to_string(i) + ".down"); ++i) {
      const std::string a = "a" + std::to_string(i);
      const auto down = get(a + ".down");
      nn::LoraFactors<T> factors(a, layer.weight.shape(), down.dim(0), static_cast<double>(get(a + ".alpha").item()));
      factors.down.assign(nn::from_file_layout(down, factors.down.shape()));
      factors.up.assign(get(a + ".up").reshape(factors.up.shape()));
      layer.adapters.push_back(factors);
    }
    REQUIRE(layer.adapters.size() == 2);
    const auto weights_match = [&](const std::string& name) {
      const auto want = get(name);
      return file.difference(nn::to_file_layout(layer.effective_weight().value()).reshape(want.shape()), want) <
             golden::tolerance<T>;
    };
    const Var<T> x(activation(get("in.x")), true);
    layer.adapters[1].weight = 0;
    CHECK(weights_match("one.weight"));
    const auto y = layer(x);
    CHECK(file.difference(restore(y.value()), get("one.out")) < golden::tolerance<T>);
    autograd::backward(y, activation(get("grad_out")));
    CHECK(file.difference(restore(x.grad()), get("one.grad_in.x")) < golden::tolerance<T>);
    const auto down = get("one.grad.down"), up = get("one.grad.up");
    CHECK(file.difference(nn::to_file_layout(layer.adapters[0].down.grad()).reshape(down.shape()), down) <
          golden::tolerance<T>);
    CHECK(file.difference(layer.adapters[0].up.grad().reshape(up.shape()), up) < golden::tolerance<T>);
    for (std::size_t i = 0; i < 2; ++i)
      layer.adapters[i].weight = static_cast<double>(get("a" + std::to_string(i) + ".weight").item());
    CHECK(weights_match("both.weight"));
    CHECK(file.difference(restore(layer(x).value()), get("both.out")) < golden::tolerance<T>);
  };
  const auto same = [](const Tensor<T>& v) { return v; };
  const auto in = file.get<T>("linear.base.weight").shape(), conv = file.get<T>("conv.base.weight").shape();
  check("linear", nn::Linear<T>(in[1], in[0]), same, same);
  check(
      "conv", nn::Conv2d<T>(conv[1], conv[0], conv[2]), [](const Tensor<T>& v) { return ops::nchw_to_nhwc(v); },
      [](const Tensor<T>& v) { return ops::nhwc_to_nchw(v); });
}

TEST_CASE("lora: merged into 16-bit weights the sum is rounded once, and takes no more memory") {
  nn::Linear<float> layer(3, 2);
  nn::init_parameters(layer, 5);
  const auto exact = Tensor<float>::from({2, 3}, {1, -2, 0.5F, 3, 0.25F, 8});
  for (const bool is_half : {true, false}) {
    CAPTURE(is_half);
    auto net = layer;
    net.weight.keep(is_half ? ConstantTensor(ops::cast<half>(exact)) : ConstantTensor(ops::cast<bfloat16>(exact)));
    nn::add_lora(net, {.rank = 1, .alpha = 0.5});
    auto& a = net.adapters[0];
    a.down.assign(Tensor<float>::from({1, 3}, {1, 0.1F, -0.01F}));
    a.up.assign(Tensor<float>::from({2, 1}, {0.3F, -7}));
    const auto merged = nn::merge_lora(net, {}, nn::MergedWeights::as_stored);
    REQUIRE(merged.weight.kept().defined());
    CHECK(merged.weight.kept().is_half() == is_half);
    CHECK(merged.weight.bytes() == 12);
    CHECK(merged.adapters.empty());
    const auto got = merged.weight.get().value(), sum = nn::merge_lora(net).weight.value();
    for (std::int64_t i = 0; i < 6; ++i) {
      const double up = i < 3 ? 0.3F : -7, down = a.down.value()[i % 3];
      const auto want = static_cast<float>(static_cast<double>(exact[i]) + 0.5 * up * down);
      CHECK(sum[i] == doctest::Approx(want).epsilon(1e-6));
      CHECK(got[i] == (is_half ? static_cast<float>(half(sum[i])) : static_cast<float>(bfloat16(sum[i]))));
    }
    // Its own weight is what it was.
    CHECK(net.weight.get().value().to_vector() == exact.to_vector());
    // Switched off, an adapter leaves the stored bits.
    CHECK(nn::merge_lora(net, {{"default", 0}}, nn::MergedWeights::as_stored).weight.kept().bits() ==
          net.weight.kept().bits());
    a.up.assign(Tensor<float>::full(Shape{2, 1}, 1e6F));
    if (is_half)
      CHECK_THROWS_WITH_AS(nn::merge_lora(net, {}, nn::MergedWeights::as_stored), doctest::Contains("beyond the range"),
                           NumericError);
    else
      CHECK_NOTHROW(nn::merge_lora(net, {}, nn::MergedWeights::as_stored));
  }
}

TEST_CASE_TEMPLATE("lora: a large layer's trained adapters are branches, with the results and gradients of the sum", T,
                   float, double) {
  // Of the four layers the first two are large enough for their rank, the third is small, the fourth of a high rank.
  nn::Linear<T> linear(256, 260), small(64, 64), high(256, 260);
  nn::Conv2d<T> conv(32, 256, 3, 2);
  nn::init_parameters(linear, 1);
  nn::init_parameters(small, 2);
  nn::init_parameters(high, 3);
  nn::init_parameters(conv, 4);
  const auto check = [](auto& layer, const Shape& shape, std::int64_t rank, bool branches) {
    CAPTURE(shape.str());
    nn::add_lora(layer, {.rank = rank, .alpha = 3, .name = "a"}, 5);
    nn::add_lora(layer, {.rank = 2, .name = "b"}, 6);
    const auto factors = [&] {
      auto list = nn::lora_parameters(layer, "a");
      for (auto& p : nn::lora_parameters(layer, "b")) list.push_back(p);
      return list;
    };
    for (auto& p : factors()) {
      const auto values = numbers::normal<T>(p.var.shape(), p.name);
      for (std::int64_t i = 0; i < values.size(); ++i) p.var.value()[i] = values[i] / 16;
    }
    CHECK(layer.has_branches() == branches);
    const auto run = [&](bool sum) {
      const Var<T> x(numbers::normal<T>(shape, "x"), true);
      Var<T> y;
      if (sum) {
        auto merged = layer;
        merged.weight.bind(layer.effective_weight());
        merged.adapters.clear();
        y = merged(x);
      } else {
        y = layer(x);
      }
      autograd::backward(y, numbers::normal<T>(y.shape(), "gy"));
      std::vector<Tensor<T>> out{y.value(), x.grad()};
      for (auto& p : factors()) {
        out.push_back(p.var.grad());
        p.var.zero_grad();
      }
      return out;
    };
    const auto want = run(true), got = run(false);
    REQUIRE(got.size() == 6);
    for (std::size_t i = 0; i < got.size(); ++i) {
      double largest = 0;
      for (const T v : want[i].span()) largest = std::max(largest, std::abs(static_cast<double>(v)));
      const double error = numbers::distance(got[i], want[i]) / largest;
      CHECK(error < (std::same_as<T, float> ? 1e-5 : 1e-13));
      if (!branches) CHECK(error == 0);
    }
    // Adapters that are not trained, and weights that are, are summed.
    CHECK(layer.has_branches() == branches);
    layer.weight.set_requires_grad(true);
    CHECK_FALSE(layer.has_branches());
    nn::set_requires_grad(layer, false);
    CHECK_FALSE(layer.has_branches());
    CHECK(layer(Var<T>(numbers::normal<T>(shape, "x"))).value().to_vector() == run(true)[0].to_vector());
  };
  check(linear, {3, 7, 256}, 8, true);
  check(conv, {2, 9, 8, 32}, 8, true);
  check(small, {5, 64}, 2, false);
  check(high, {5, 256}, 40, false);
}
