// SPDX-License-Identifier: Apache-2.0
#include <hypersd/records/loss_log.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd::records;

TEST_CASE("a window gives means, the last learning rate, and starts afresh") {
  LogWindow window;
  CHECK(window.empty());
  window.add(1.0, 0.1, 4.0, {{"gap", 2.0}});
  window.add(3.0, 0.2, 6.0, {{"gap", 4.0}, {"rare", 5.0}});
  const LogRow row = window.take("teacher", 12);
  CHECK(row.phase == "teacher");
  CHECK(row.step == 12);
  CHECK(row.loss == 2.0);
  CHECK(row.learning_rate == 0.2);
  CHECK(row.grad_norm == 5.0);
  REQUIRE(row.diagnostics.size() == 2);
  CHECK(row.diagnostics[0] == std::pair<std::string, double>{"gap", 3.0});
  CHECK(row.diagnostics[1] == std::pair<std::string, double>{"rare", 5.0});
  CHECK(window.empty());
}
