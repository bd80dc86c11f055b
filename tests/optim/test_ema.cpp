// SPDX-License-Identifier: Apache-2.0
#include <hypersd/optim/ema.hpp>
//
#include <doctest/doctest.h>

#include <cmath>
#include <hypersd/ops/random.hpp>

using namespace hypersd;

namespace {

optim::ParameterList<float> one(float value, std::int64_t n = 3) {
  return {{"w", Var<float>(Tensor<float>::full(Shape{n}, value), true)}};
}

}  // namespace

TEST_CASE("n updates towards a constant c leave c + decay^n (start - c)") {
  const auto list = one(1.0F);
  optim::Ema<float> ema(list, {.decay = 0.95});
  list[0].var.value().fill(3.0F);
  for (int n = 0; n < 20; ++n) ema.update();
  CHECK(ema.parameters()[0].var.value()[1] == doctest::Approx(3.0 + std::pow(0.95, 20) * -2.0).epsilon(1e-6));
  CHECK(ema.updates() == 20);
  CHECK_FALSE(ema.parameters()[0].var.requires_grad());
}

TEST_CASE("float32 averages move where bfloat16 ones would stall") {
  const auto list = one(1.0F);
  optim::Ema<float> ema(list, {.decay = 0.999});
  list[0].var.value().fill(1.5F);
  for (int n = 0; n < 1000; ++n) ema.update();
  CHECK(ema.parameters()[0].var.value()[0] == doctest::Approx(1.3161522876).epsilon(1e-5));
}

TEST_CASE("decay 1 freezes and decay 0 copies, both exactly") {
  const auto list = one(0.1F);
  optim::Ema<float> frozen(list, {.decay = 1}), copy(list, {.decay = 0});
  list[0].var.value().fill(0.7F);
  frozen.update();
  copy.update();
  CHECK(frozen.parameters()[0].var.value()[0] == 0.1F);
  CHECK(copy.parameters()[0].var.value()[0] == 0.7F);
}

TEST_CASE("an average of equal values stays exactly there") {
  const auto list = one(0.3F);
  optim::Ema<float> ema(list, {.decay = 0.97});
  for (int n = 0; n < 50; ++n) ema.update();
  CHECK(ema.parameters()[0].var.value()[2] == 0.3F);
}

TEST_CASE("warm-up uses min(decay, (1 + n) / (10 + n))") {
  const auto list = one(0.0F);
  optim::Ema<float> ema(list, {.decay = 0.5, .warm_up = true});
  list[0].var.value().fill(1.0F);
  ema.update();
  CHECK(ema.parameters()[0].var.value()[0] == doctest::Approx(0.9));
  for (int n = 0; n < 8; ++n) ema.update();
  const float before = ema.parameters()[0].var.value()[0];
  ema.update();  // (1 + 9) / (10 + 9) is above the decay
  CHECK(1 - ema.parameters()[0].var.value()[0] == doctest::Approx(0.5 * (1 - before)).epsilon(1e-3));
}

TEST_CASE("EmaScope lends the averages to the parameters and gives the values back bit for bit") {
  const auto list = one(1.0F);
  optim::Ema<float> ema(list, {.decay = 0.5});
  list[0].var.value().fill(0.3F);
  ema.update();
  {
    const optim::EmaScope scope(ema);
    CHECK(list[0].var.value()[0] == doctest::Approx(0.65));
  }
  CHECK(list[0].var.value()[0] == 0.3F);
  ema.copy_to_parameters();
  CHECK(list[0].var.value()[0] == doctest::Approx(0.65));
  ema.reset();
  CHECK(ema.updates() == 0);
}

TEST_CASE("ema_update between two networks checks names and shapes") {
  const auto a = one(1.0F), b = one(2.0F);
  optim::ema_update(a, b, 0.75);
  CHECK(a[0].var.value()[0] == doctest::Approx(1.25));
  CHECK_THROWS_AS(optim::ema_update(a, b, 1.5), OptionError);
  CHECK_THROWS_AS(optim::ema_update(a, one(2.0F, 4), 0.5), ShapeError);
  CHECK_THROWS_AS(optim::ema_update(a, optim::ParameterList<float>{}, 0.5), OptionError);
  const optim::ParameterList<float> other{{"v", b[0].var}};
  CHECK_THROWS_WITH_AS(optim::ema_update(a, other, 0.5), doctest::Contains("'w' of parameter 'v'"), OptionError);
}
