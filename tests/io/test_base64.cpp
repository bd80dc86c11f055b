// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/base64.hpp>

#include <doctest/doctest.h>

using hypersd::io::base64;

TEST_CASE("the examples of RFC 4648") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xFF\xEF\xBE") == "/+++");
}
