// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toy.hpp"

#include <hypersd/distill/objective.hpp>
#include <hypersd/io/safetensors.hpp>

#include <doctest/doctest.h>
#include <string>

namespace toy {

/// |a - b| / |b| over all elements.
inline double relative(const Tensor<double>& a, const Tensor<double>& b) {
  REQUIRE(a.shape() == b.shape());
  double gap = 0, size = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    gap += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(gap / size);
}

/// A golden file of losses and gradients, and the networks of golden_distill.py.
struct Golden {
  io::SafetensorsFile file;
  io::SafetensorsFile networks{std::string(HYPERSD_TEST_DATA) + "/distill.safetensors"};
  explicit Golden(const std::string& name) : file(std::string(HYPERSD_TEST_DATA) + "/" + name + ".safetensors") {}

  [[nodiscard]] Mlp network(const std::string& role, bool trainable = false) const {
    const bool here = file.contains(role + ".w1");
    auto p = [&](const char* name) {
      return Var<double>((here ? file : networks).get<double>(role + "." + name), trainable);
    };
    return {p("w1"), p("b1"), p("w2"), p("b2")};
  }
  [[nodiscard]] Tensor<double> values(const std::string& name) const { return file.get<double>(name); }
  [[nodiscard]] diffusion::Times times(const std::string& name) const {
    const auto t = file.get<std::int64_t>(name);
    return {t.data(), t.data() + t.size()};
  }
  [[nodiscard]] distill::Batch<double, Cpu, Tensor<double>> batch() const {
    const auto c = values("condition");
    return {values("x0"), {c, Tensor<double>::zeros(c.shape())}};
  }
  /// Compares a loss and the gradient it leaves in `student` with the file's.
  void check(const std::string& name, const Var<double>& loss, const Mlp& student) const {
    CAPTURE(name);
    const double expected = values(name + ".loss").item();
    CHECK(std::abs(loss.item() - expected) <= 1e-10 * std::abs(expected));
    autograd::backward(loss);
    for (const auto& [p, var] : student.parameters()) CHECK(relative(var.grad(), values(name + ".grad." + p)) <= 1e-9);
  }
};

}  // namespace toy
