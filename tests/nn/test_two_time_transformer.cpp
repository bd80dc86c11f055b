// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/two_time_transformer.hpp>

#include <hypersd/diffusion/two_times.hpp>
#include <hypersd/nn/models/dit.hpp>
#include <hypersd/nn/models/mmdit.hpp>
#include <hypersd/nn/models/pixart.hpp>
#include <hypersd/nn/models/policy_network.hpp>

#include "network_checks.hpp"

using namespace hypersd;
using network_checks::filled;

namespace {

template <class Config>
Config small(Config c) {
  c.heads = 2;
  c.head_dim = 8;
  c.layers = 2;
  return c;
}

/// A student starts as its network, and its derivative along sample, time and end is the central difference.
template <class Net, class Condition>
void check(const Net& net, const Condition& condition) {
  using Student = nn::TwoTimeTransformer<Net>;
  static_assert(diffusion::TwoTimeDenoiser<Student, double, Cpu, Condition>);
  const auto fresh = Student::student_of(net, 4);
  const auto of = [](const Shape& s, const char* name) { return ops::normal<double>(s, stream(5, name)); };
  const auto x = of({2, 4, 6, 4}, "x"), dx = of(x.shape(), "dx");
  const auto t = Tensor<double>::from({2}, {600.5, 3}), end = Tensor<double>::from({2}, {200, 2.5});
  const auto want = net(Var<double>(x), t, condition).value().to_vector();
  CHECK(fresh(Var<double>(x), nn::Interval<double>{t, end}, condition).value().to_vector() == want);
  CHECK(nn::state_dict(fresh).count("end_embedding.linear_2.weight") == 1);
  CHECK(nn::count_parameters(fresh).tensors == nn::count_parameters(net).tensors + 4);

  const auto student = filled(fresh);
  CHECK(student(Var<double>(x), nn::Interval<double>{t, end}, condition).value().to_vector() !=
        student(Var<double>(x), nn::Times<double>(t), condition).value().to_vector());
  const auto predict = [&](const Var<double>& at, const Var<double>& from, const Var<double>& to) {
    return student(at, nn::Interval<double>{from, to}, condition);
  };
  const auto dt = Tensor<double>::from({2}, {0.7, -0.2}), dend = Tensor<double>::from({2}, {-0.4, 0.5});
  const auto moved = [&](double h) {
    const autograd::NoGrad guard;
    const auto go = [h](const Tensor<double>& from, const Tensor<double>& d) {
      return Var<double>(ops::map(ops::LinearCombination<double>{1, h}, from, d));
    };
    return predict(go(x, dx), go(t, dt), go(end, dend)).value();
  };
  const auto tangent =
      autograd::jvp(predict, autograd::Dual{x, dx}, autograd::Dual{t, dt}, autograd::Dual{end, dend}).tangent;
  const auto ahead = moved(1e-5), behind = moved(-1e-5);
  for (std::int64_t i = 0; i < ahead.size(); ++i)
    CHECK(std::abs(tangent[i] - (ahead[i] - behind[i]) / 2e-5) < 1e-7 * (1 + std::abs(tangent[i])));
}

}  // namespace

TEST_CASE("transformers with a second time start as the network inside, and have derivatives by both times") {
  const Var<double> tokens(ops::normal<double>({2, 3, 12}, stream(1, "tokens")));
  const Var<double> pooled(ops::normal<double>({2, 12}, stream(1, "pooled")));
  check(filled(nn::Dit<double>(small(nn::DitConfig{}))), Tensor<std::int32_t>::from({2}, {3, 10}));
  auto pixart = small(nn::PixArtConfig{});
  pixart.text_channels = 12;
  check(filled(nn::PixArt<double>(pixart)), nn::UnetCondition<double>{tokens, {}});
  auto mmdit = small(nn::MmDitConfig{});
  mmdit.text_channels = mmdit.pooled_channels = 12;
  check(filled(nn::MmDit<double>(mmdit)), nn::UnetCondition<double>{tokens, pooled});
}

TEST_CASE("a transformer with several predictions begins with its network's in each, and they part") {
  auto config = small(nn::PixArtConfig{});
  config.text_channels = 12;
  const auto net = filled(nn::PixArt<double>(config));
  auto student = nn::PolicyNetwork<nn::PixArt<double>>::student_of(net, 3);
  network_checks::policies_fit(
      net, student, nn::UnetCondition<double>{Var<double>(ops::normal<double>({2, 3, 12}, stream(1, "tokens"))), {}},
      student.net.proj_out);
}
