// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/one_of.hpp>

#include <hypersd/nn/models/pixart.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/nn/state.hpp>

#include "network_checks.hpp"

using namespace hypersd;
using network_checks::filled;

namespace {

using Either = nn::OneOf<nn::Unet<float>, nn::PixArt<float>>;

nn::Unet<float> unet() {
  nn::UnetConfig c;
  c.block_out_channels = {8, 8};
  c.down_attention = {false, true};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  return filled(nn::Unet<float>(c));
}
nn::PixArt<float> pixart() {
  nn::PixArtConfig c;
  c.heads = 2;
  c.head_dim = 8;
  c.layers = 2;
  c.text_channels = 12;
  return filled(nn::PixArt<float>(c));
}

/// The wrapped network is the network.
template <class Net>
void check(const Net& net) {
  Either either = net;
  CHECK(either.get_if<Net>() != nullptr);
  const Var<float> x(ops::normal<float>({2, 8, 8, 4}, stream(1, "x")));
  const auto t = Tensor<float>::from({2}, {300, 7});
  const nn::UnetCondition<float> c{Var<float>(ops::normal<float>({2, 3, 12}, stream(1, "tokens"))), {}};
  const auto want = net(x, t, c).value().to_vector();
  CHECK(either(x, t, c).value().to_vector() == want);
  CHECK(either.feature_channels() == net.feature_channels());
  const auto features = either.features(x, t, c), plain = net.features(x, t, c);
  REQUIRE(features.size() == plain.size());
  CHECK(features.back().value().to_vector() == plain.back().value().to_vector());
  CHECK(nn::count_parameters(either) == nn::count_parameters(net));
  for (const auto& entry : nn::state_dict(net)) CHECK(nn::state_dict(either).count(entry.first) == 1);

  Either copy = nn::deep_copy(either);
  nn::add_lora(copy, {.rank = 2, .targets = {"to_q"}});
  for (auto& p : nn::lora_parameters(copy)) p.var.set_value(ops::normal<float>(p.var.shape(), stream(4, p.name)));
  CHECK(copy(x, t, c).value().to_vector() != want);
  CHECK(numbers::distance(nn::merge_lora(copy)(x, t, c).value(), copy(x, t, c).value()) < 1e-4);
  CHECK(either(x, t, c).value().to_vector() == want);
}

}  // namespace

TEST_CASE("one_of: a UNet or a transformer, chosen at run time") {
  check(unet());
  check(pixart());
  CHECK(Either(unet()).get_if<nn::PixArt<float>>() == nullptr);
}
