// SPDX-License-Identifier: Apache-2.0
#include <optim/deferred_runs.hpp>
//
#include <gpu.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace deferred_runs;

TEST_CASE_TEMPLATE("CUDA: enqueued steps", T, float, bfloat16) {
  if (!gpu::have_device()) return;
  const Outcome expected = deferred<T, Cpu>(5, 1.0, 2), got = deferred<T, Cuda>(5, 1.0, 2);
  REQUIRE(got.moments.size() == expected.moments.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.moments.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got.moments[i] - expected.moments[i])));
  CHECK(worst < 1e-6);
  CHECK(got.steps == expected.steps);
  CHECK(deferred<T, Cuda>(9, 1.0, 4, 5).bad == 5);
}

TEST_CASE_TEMPLATE("CUDA: enqueued steps with flat gradients", T, float, bfloat16) {
  if (!gpu::have_device()) return;
  CHECK(distance(flat<T, Cpu>(5, 1.0, 2), flat<T, Cuda>(5, 1.0, 2)) < (Real<T> ? 1e-6 : 1e-2));
  const Outcome bad = flat<T, Cuda>(9, 1.0, 4, 5);
  CHECK(bad.bad == 5);
  CHECK(bad.part == 1);
}
