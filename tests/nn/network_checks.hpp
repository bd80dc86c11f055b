// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include <hypersd/autograd/jvp.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/optim/adamw.hpp>

#include <numbers.hpp>
#include <set>

/// \file
/// Properties of whole denoisers, for networks `net(x, t, condition)` of any kind.

namespace network_checks {

using namespace hypersd;

/// Values for all parameters, none of them zero: fresh transformers predict 0.
template <class Net>
Net filled(Net net, std::uint64_t seed = 3, double scale = 0.2) {
  using T = typename Net::value_type;
  nn::init_parameters(net, seed);
  for (auto& p : nn::parameters(net)) {
    if (!p.var.requires_grad()) continue;
    auto add = ops::normal<Accumulator<T>>(p.var.shape(), stream(seed, "filled." + p.name));
    ops::map_into(add, ops::Affine<Accumulator<T>>{static_cast<Accumulator<T>>(scale), 0}, add);
    p.var.set_value(ops::map(ops::Add{}, p.var.value(), ops::cast<T>(add)));
  }
  return net;
}

/// jvp along sample and time, an adapter included, is the central difference, and <w, J dx> = <J^T w, dx>.
template <class Net, class Condition>
void jvp_fits(Net net, const Shape& shape, const Condition& condition) {
  nn::add_lora(net, {.rank = 2});
  for (auto& p : nn::lora_parameters(net))
    p.var.set_value(ops::map(ops::Affine<double>{0.1, 0}, ops::normal<double>(p.var.shape(), stream(4, p.name))));
  const auto of = [](const Shape& s, const char* name) { return ops::normal<double>(s, stream(5, name)); };
  const auto x = of(shape, "x"), dx = of(shape, "dx");
  const auto t = Tensor<double>::from({2}, {600.5, 3}), dt = Tensor<double>::from({2}, {0.7, -0.2});
  const auto predict = [&](const Var<double>& at, const Var<double>& time) { return net(at, time, condition); };
  const auto moved = [&](double h) {
    const autograd::NoGrad guard;
    const auto go = [h](const Tensor<double>& from, const Tensor<double>& d) {
      return Var<double>(ops::map(ops::LinearCombination<double>{1, h}, from, d));
    };
    return predict(go(x, dx), go(t, dt)).value();
  };
  const auto out = autograd::jvp(predict, autograd::Dual{x, dx}, autograd::Dual{t, dt});
  const double h = 1e-5;
  const auto ahead = moved(h), behind = moved(-h);
  double largest = 0;
  for (std::int64_t i = 0; i < ahead.size(); ++i) {
    CHECK(std::abs(out.tangent[i] - (ahead[i] - behind[i]) / (2 * h)) < 1e-7 * (1 + std::abs(out.tangent[i])));
    largest = std::max(largest, std::abs(out.tangent[i]));
  }
  CHECK(largest > 1e-2);

  const auto along_x =
      autograd::jvp([&](const Var<double>& at) { return net(at, t, condition); }, autograd::Dual{x, dx}).tangent;
  const Var<double> leaf(x, true);
  const auto w = of(x.shape(), "w");
  autograd::backward(net(leaf, t, condition), w.clone());
  double forward = 0, reverse = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) forward += w[i] * along_x[i], reverse += leaf.grad()[i] * dx[i];
  CHECK(forward == doctest::Approx(reverse).epsilon(1e-11));
}

/// A fresh network `net` for one channel of 2 x 2 learns the exact velocity of a rectified flow whose data are u times
/// the signs (+, -, -, +), u ~ N(0, 1) one number for all four pixels: with x_t = (1 - t) m u + t z, a = 1 - t, the
/// clean data are m a (m . x) / (4 a^2 + t^2). The best function of a pixel alone, a x / (a^2 + t^2), leaves a squared
/// error of the velocity of 1 / (a^2 + t^2) - 1 / (4 a^2 + t^2); a transformer must attend, and tell positions and
/// times apart, to go below. Returns its error as a share of that.
template <class Net, class Condition>
double share_left_of_pixelwise(Net net, const Condition& condition, std::int64_t steps, double rate) {
  const std::int64_t batch = 16;
  nn::init_parameters(net, 3);
  const auto parameters = optim::parameters_of(net);
  optim::AdamW<float> optimizer(parameters, {.weight_decay = 0});
  double error = 0, floor = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto at = [&](const char* name) { return stream(9, name, static_cast<std::uint64_t>(step)); };
    const auto u = ops::normal<float>({batch}, at("u")), z = ops::normal<float>({batch, 4}, at("z"));
    auto t = ops::uniform<float>({batch}, at("t"));
    Tensor<float> x({batch, 2, 2, 1}), velocity(x.shape()), times({batch});
    double pixelwise = 0;
    for (std::int64_t b = 0; b < batch; ++b) {
      const float s = 0.1F + 0.8F * t[b], a = 1 - s, signs[] = {1, -1, -1, 1};
      float along = 0;
      for (std::int64_t i = 0; i < 4; ++i) {
        x[4 * b + i] = a * signs[i] * u[b] + s * z[4 * b + i];
        along += signs[i] * x[4 * b + i];
      }
      for (std::int64_t i = 0; i < 4; ++i)
        velocity[4 * b + i] = (x[4 * b + i] - signs[i] * a * along / (4 * a * a + s * s)) / s;
      times[b] = 1000 * s;
      pixelwise += static_cast<double>(1 / (a * a + s * s) - 1 / (4 * a * a + s * s)) / static_cast<double>(batch);
    }
    // At t: v = (x - x0) / t.
    optimizer.zero_grad();
    const auto loss = autograd::mse(net(Var<float>(x), times, condition), velocity);
    autograd::backward(loss);
    optimizer.step(rate * (1 - static_cast<double>(step) / static_cast<double>(steps)));
    if (10 * step >= 9 * steps) error += static_cast<double>(loss.item()), floor += pixelwise;
  }
  return error / floor;
}

/// Prediction and gradients by `checkpoint(true)` and `checkpoint(false)`, which switch gradient checkpointing of
/// `net`: the same to the bit, and up to the order of sums.
template <class Net, class Condition, class Switch>
void checkpoint_changes_nothing(Net& net, const Shape& shape, const Condition& condition, Switch&& checkpoint) {
  const Var<float> x(ops::normal<float>(shape, stream(6, "x")), true);
  const auto t = Tensor<float>::full({shape[0]}, 500);
  const auto gradients = [&](bool on) {
    checkpoint(on);
    x.node()->grad = {};
    for (auto& p : nn::parameters(net)) p.var.zero_grad();
    const auto y = net(x, t, condition);
    autograd::backward(y, ops::normal<float>(y.shape(), stream(6, "w")));
    std::vector<std::vector<float>> all{y.value().to_vector(), x.grad().to_vector()};
    for (auto& p : nn::parameters(net))
      all.push_back(p.var.grad().defined() ? p.var.grad().to_vector() : std::vector<float>{});
    return all;
  };
  const auto with = gradients(true), without = gradients(false);
  REQUIRE(with.size() == without.size());
  CHECK(with[0] == without[0]);
  double worst = 0, largest = 0;
  for (std::size_t k = 1; k < with.size(); ++k) {
    REQUIRE(with[k].size() == without[k].size());
    for (std::size_t i = 0; i < with[k].size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(with[k][i]) - static_cast<double>(without[k][i])));
      largest = std::max(largest, std::abs(static_cast<double>(without[k][i])));
    }
  }
  CHECK(worst < 1e-6 * largest);
}

/// The layers that an adapter with these targets adapts.
template <class Net>
std::set<std::string> adapted_layers(Net net, const std::vector<std::string>& targets) {
  nn::add_lora(net, {.rank = 2, .targets = targets});
  std::set<std::string> out;
  const std::string ending = ".lora_A.default.weight";
  for (const auto& p : nn::lora_parameters(net))
    if (p.name.ends_with(ending)) out.insert(p.name.substr(0, p.name.size() - ending.size()));
  return out;
}

/// `student` begins with the prediction of `net` three times. A change of the `last` layer's bias for the second
/// prediction changes that one alone.
template <class Net, class Student, class Condition, class Layer>
void policies_fit(const Net& net, const Student& student, const Condition& condition, Layer& last) {
  const auto x = ops::normal<double>({2, 4, 6, 4}, stream(5, "x"));
  const auto t = Tensor<double>::from({2}, {600.5, 3});
  const auto want = net(Var<double>(x), t, condition).value();
  CHECK(student.nodes() == 3);
  const auto check = [&](double change) {
    const auto got = student(Var<double>(x), t, condition).value();
    REQUIRE(got.shape() == Shape({2, 4, 6, 12}));
    for (std::int64_t i = 0; i < want.size() / 4; ++i)
      for (std::int64_t c = 0; c < 12; ++c)
        CHECK(got[12 * i + c] == doctest::Approx(want[4 * i + c % 4] + (c / 4 == 1 ? change : 0)).epsilon(1e-12));
  };
  check(0);
  auto bias = last.bias.value().clone();
  for (std::int64_t i = 0; i < bias.size(); ++i) bias[i] += i % 12 / 4 == 1 ? 0.5 : 0;
  last.bias.assign(bias);
  check(0.5);
}

}  // namespace network_checks
