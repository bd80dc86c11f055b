// SPDX-License-Identifier: Apache-2.0
// AdamW, clipping and learning rates against PyTorch and diffusers (tests/golden/README.md).
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/schedule.hpp>
//
#include <doctest/doctest.h>

#include <cmath>
#include <hypersd/io/safetensors.hpp>
#include <limits>

using namespace hypersd;

namespace {

template <class T>
double worst(const Tensor<T>& a, const Tensor<double>& b) {
  REQUIRE(a.shape() == b.shape());
  double w = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) w = std::fmax(w, std::abs(static_cast<double>(a[i]) - b[i]));
  return w;
}

}  // namespace

TEST_CASE_TEMPLATE("five steps of AdamW, clipped and free, equal PyTorch's", T, float, double) {
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  const io::SafetensorsFile golden(HYPERSD_TEST_DATA "/adamw.safetensors");
  for (const std::string run : {"clipped", "free"}) {
    CAPTURE(run);
    optim::ParameterList<T> list;
    for (const std::string name : {"weight", "bias"})
      list.push_back({name, Var<T>(golden.get<T>("start." + name), true)});
    optim::AdamW<T> optimizer(list, {.weight_decay = 0.1});
    for (int i = 0; i < 5; ++i) {
      CAPTURE(i);
      const std::string step = std::to_string(i) + ".";
      for (auto p : list) p.var.set_grad(golden.get<T>("grad." + step + p.name));
      const double norm = optim::grad_norm(list);
      CHECK(norm == doctest::Approx(golden.get<double>(run + ".norm")[i]).epsilon(1e-6));
      optimizer.step(1e-2, optim::clip_factor(norm, run == "clipped" ? 1.0 : 0.0));
      for (const auto& p : list) CHECK(worst(p.var.value(), golden.get<double>(run + "." + step + p.name)) < tolerance);
    }
    for (const auto& slot : optimizer.slots()) {
      CHECK(worst(slot.mean, golden.get<double>(run + ".exp_avg." + slot.parameter.name)) < tolerance);
      CHECK(worst(slot.square, golden.get<double>(run + ".exp_avg_sq." + slot.parameter.name)) < tolerance);
    }
  }
}

TEST_CASE(
    "bfloat16 parameters follow masters in float32, as in PyTorch, by steps that they could not take themselves") {
  const io::SafetensorsFile golden(HYPERSD_TEST_DATA "/adamw_bf16.safetensors");
  const auto bits = [](const Tensor<bfloat16>& t) {
    std::vector<std::uint16_t> out;
    for (const bfloat16 x : t.span()) out.push_back(x.bits);
    return out;
  };
  Var<bfloat16> p(golden.get<bfloat16>("start").clone(), true);
  optim::AdamW<bfloat16> optimizer({{"p", p}}, {.weight_decay = 0.1});
  for (int i = 0; i < 8; ++i) {
    CAPTURE(i);
    const std::string step = std::to_string(i);
    p.set_grad(golden.get<bfloat16>("grad." + step));
    optimizer.step(3e-4);
    const auto master = golden.get<double>("master." + step);
    CHECK(worst(optimizer.slots()[0].master, master) < 1e-6);
    CHECK(bits(p.value()) == bits(golden.get<bfloat16>("param." + step)));
  }
  std::int64_t moved = 0;
  for (std::int64_t i = 0; i < p.size(); ++i) moved += p.value()[i].bits != golden.get<bfloat16>("start")[i].bits;
  CHECK(moved > 0);
}

TEST_CASE("warm-up with cosine, straight line or constant equals diffusers' schedules") {
  const io::SafetensorsFile golden(HYPERSD_TEST_DATA "/adamw.safetensors");
  using namespace hypersd::optim;
  const std::pair<const char*, Schedule> schedules[] = {
      {"cosine", WarmUp{Cosine{.lr = 1e-3, .steps = 90}, 10, true}},
      {"linear", WarmUp{FlatThenLinear{.lr = 1e-3, .steps = 90, .tail = 1}, 10, true}},
      {"constant_with_warmup", WarmUp{Constant{1e-3}, 10, true}}};
  for (const auto& [name, schedule] : schedules) {
    CAPTURE(name);
    const auto rates = golden.get<double>(std::string("lr.") + name);
    for (std::int64_t i = 0; i < rates.size(); ++i) CHECK(schedule(i) == doctest::Approx(rates[i]).epsilon(1e-12));
  }
}
