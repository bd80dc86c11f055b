// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "golden.hpp"

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/distill/objective.hpp>

namespace toy {

using namespace hypersd;
using namespace hypersd::distill;

using Condition = Tensor<double>;

/// What every golden case of objectives.safetensors starts from.
struct Case {
  static diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

  Golden golden{"objectives"};
  Mlp student = golden.network("student", true), teacher = golden.network("teacher", true),
      target = golden.network("target", true), fake = golden.network("fake", true), critic = golden.network("critic");
  Batch<double, Cpu, Condition> batch = golden.batch();
  std::vector<double> scale = golden.values("scale").to_vector();
  Tensor<double> noise = golden.values("noise"), z = golden.values("z"), judge = golden.values("judge");

  /// Compares with the file, and checks that only the student has a gradient.
  void check(const std::string& name, const LossResult<double, Cpu>& result) const {
    golden.check(name, result.loss, student);
    for (const auto* net : {&teacher, &target, &fake, &critic})
      for (const auto& [p, var] : net->parameters()) CHECK(!var.grad().defined());
  }
};

}  // namespace toy
