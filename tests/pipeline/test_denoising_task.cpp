// SPDX-License-Identifier: Apache-2.0
#include <pipeline/denoising_runs.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("A denoising task trains bit for bit as the function") {
  const auto one = denoising_runs::train<float, Cpu>(false), two = denoising_runs::train<float, Cpu>(true);
  CHECK(one.parameters == two.parameters);
  CHECK(one.report.loss == two.report.loss);
  REQUIRE(one.rows.size() == 3);
  CHECK(two.rows[1].loss == one.rows[1].loss);
}

TEST_CASE("bfloat16 networks train with masters in float32") {
  const auto wide = denoising_runs::train<float, Cpu>(true, 40),
             narrow = denoising_runs::train<bfloat16, Cpu>(true, 40);
  // The same draws; 8 bits of mantissa leave a few per mille of the loss.
  CHECK(narrow.report.loss == doctest::Approx(wide.report.loss).epsilon(0.02));
  CHECK(wide.rows.back().loss < wide.rows.front().loss);
}

TEST_CASE("A bad step of a task is named, as of a function") {
  CHECK_THROWS_WITH_AS((denoising_runs::train<float, Cpu>(true, 11, 6)), doctest::Contains("step 7 of 11: the loss is"),
                       NumericError);
}
