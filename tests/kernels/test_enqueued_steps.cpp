// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <optim/deferred_runs.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace deferred_runs;

TEST_CASE_TEMPLATE("Enqueued steps by CUDA kernels, run on the host, are the CPU's", T, float, bfloat16) {
  const Outcome expected = deferred<T, Cpu>(5, 1.0, 2), got = deferred<T, emulated::Kernels>(5, 1.0, 2);
  // The gradient's norm is summed in another order, in double: a factor's last bit may differ.
  REQUIRE(got.parameters.size() == expected.parameters.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.moments.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got.moments[i] - expected.moments[i])));
  CHECK(worst < 1e-6);
  CHECK(got.losses == expected.losses);
  CHECK(got.steps == expected.steps);
  for (std::size_t i = 0; i < got.norms.size(); ++i)
    CHECK(got.norms[i] == doctest::Approx(expected.norms[i]).epsilon(1e-12));
  emulated::backward = true;
  CHECK(deferred<T, emulated::Kernels>(5, 1.0, 2).parameters == got.parameters);
  emulated::backward = false;
}

TEST_CASE("A bad step stops the kernels' updates too") {
  const Outcome got = deferred<float, emulated::Kernels>(9, 1.0, 4, 5);
  CHECK(got.bad == 5);
  CHECK(got.steps == step_by_step<float, Cpu>(5, 1.0).steps);
}

TEST_CASE_TEMPLATE("Flat gradients of CUDA kernels, run on the host, are the CPU's", T, float, bfloat16) {
  const Outcome expected = flat<T, Cpu>(5, 1.0, 2), got = flat<T, emulated::Kernels>(5, 1.0, 2);
  CHECK(distance(expected, got) < (Real<T> ? 1e-6 : 1e-2));
  CHECK(got.losses == expected.losses);
  emulated::backward = true;
  CHECK(distance(flat<T, emulated::Kernels>(5, 1.0, 2), got) == 0);
  emulated::backward = false;
  const Outcome bad = flat<T, emulated::Kernels>(9, 1.0, 4, 5);
  CHECK(bad.bad == 5);
  CHECK(bad.part == 1);
}
