// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/keep_guidance.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/tscd.hpp>

#include "golden.hpp"

#include <doctest/doctest.h>

using namespace hypersd;
using namespace hypersd::distill;

namespace {

diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

/// The golden batch with its negative condition.
Batch<double, Cpu, Tensor<double>> negative_batch(const toy::Golden& golden) {
  auto batch = golden.batch();
  batch.condition.null = golden.values("negative");
  return batch;
}

Draws draws(const toy::Golden& golden, const std::string& name) {
  Draws d{golden.times(name + ".t"), golden.times(name + ".t_prev"), golden.times(name + ".t_end"), {}};
  for (const double w : golden.values("omega").span()) d.guidance.push_back(diffusion::scale_of_w(w));
  return d;
}

}  // namespace

TEST_CASE("Guidance kept: loss and gradient equal PyTorch's") {
  const toy::Golden golden("distill");
  const auto student = golden.network("student", true), teacher = golden.network("teacher", true),
             target = golden.network("target", true);
  const KeepGuidance<Tscd<4>> objective(table());
  const auto result = objective.loss_at(student, teacher, target, negative_batch(golden), draws(golden, "tscd4_kept"),
                                        golden.values("noise"));
  golden.check("tscd4_kept.mse", result.loss, student);
  for (const auto* net : {&teacher, &target})
    for (const auto& [p, var] : net->parameters()) CHECK(!var.grad().defined());
}

TEST_CASE("A guided network predicts what the sampler's guidance does") {
  const toy::Golden golden("distill");
  const auto net = golden.network("teacher");
  const auto batch = negative_batch(golden);
  const auto t = diffusion::time_tensor<double>(diffusion::StableDiffusion(), golden.times("tscd4.t"));
  const std::vector<double> scales{0.5, 1, 1.5, 3, 7.5, 2};
  const auto expected = diffusion::predict_guided(net, batch.x0, t, batch.condition, scales);
  const Guided<toy::Mlp> guided{net};
  const ScaledCondition<Tensor<double>> scaled{batch.condition, scales};
  CHECK(toy::relative(guided(Var<double>(batch.x0), t, scaled).value(), expected) <= 1e-12);
  CHECK(toy::relative(diffusion::predict(guided, batch.x0, t, scaled), expected) <= 1e-12);
  // The unconditional branch has a part where the scale is above 1.
  CHECK(toy::relative(diffusion::predict(net, batch.x0, t, batch.condition.conditional), expected) > 1e-2);
}

TEST_CASE("Without guidance the objective is the plain one, and with it a student that has absorbed it is wrong") {
  const toy::Golden golden("distill");
  const auto student = golden.network("student"), teacher = golden.network("teacher"),
             target = golden.network("target");
  const auto batch = negative_batch(golden);
  const auto loss = [&](const auto& objective) {
    return objective.loss(student, teacher, target, batch, {3, 7}).loss.item();
  };
  CHECK(loss(KeepGuidance<Cd<>>(table())) == loss(Cd<>(table())));
  const ConsistencyOptions guided{.guidance_min = 2, .guidance_max = 5};
  CHECK(loss(KeepGuidance<Cd<>>(table(), guided)) != loss(Cd<>(table(), guided)));
}
