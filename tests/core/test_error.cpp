// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/error.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/core/progress.hpp>

using namespace hypersd;

TEST_CASE("Errors share one root and carry a joined message") {
  CHECK_THROWS_WITH_AS(fail<FormatError>("file ", 3, " is ", 1.5), "file 3 is 1.5", FormatError);
  CHECK_THROWS_AS(fail<OptionError>("x"), Error);
  CHECK_THROWS_AS(require<NumericError>(false, "x"), std::runtime_error);
  CHECK_NOTHROW(require(true, "never formatted"));
}

TEST_CASE("An empty progress function means silence") {
  CHECK_NOTHROW(notify({}, {}));
  int calls = 0;
  ProgressEvent event;
  event.phase = "teacher";
  notify([&](const ProgressEvent& e) { calls += e.phase == "teacher"; }, event);
  CHECK(calls == 1);
}
