// SPDX-License-Identifier: Apache-2.0
#include <fashion/summary.hpp>

#include <doctest/doctest.h>

#include <cmath>

using fashion::Headline;

namespace {

const Headline teacher{25, {6, 5, 7}, 0.93, 0};

}  // namespace

TEST_CASE("The summary names the best number of steps, one step, captions and trajectory") {
  const auto said = fashion::summary(
      teacher, {{1, {9, 8, 10}, 0.92, 0.25}, {2, {4.5, 4, 4.9}, 0.9, 0.03}, {4, {5, 4, 6}, 0.87, 0.04}});
  REQUIRE(said.size() == 3);
  CHECK(said[0] ==
        "The student is best in **2 steps**: FD 4.5 where the teacher has 6.0 in 25 steps, clearly better, for "
        "2 network evaluations instead of 50.");
  CHECK(said[1] == "In **1 step** its FD is 9.0, 1.5 times the teacher's.");
  CHECK(said[2] ==
        "87.0 % (4 steps) to 92.0 % (1 step) of its pictures show their caption, of the teacher's 93.0 %; it is "
        "nearest to the end of the teacher's trajectories in 2 steps (error 0.030) and farthest in 1 step (0.250).");
}

TEST_CASE("Intervals decide what is said of FD") {
  const auto first = [](double low, double value, double high) {
    return fashion::summary(teacher, {{1, {value, low, high}, 0.9, std::nan("")}})[0];
  };
  CHECK(first(7.5, 8, 9).find("clearly worse") != std::string::npos);
  CHECK(first(5.5, 8, 9).find("cannot tell apart") != std::string::npos);
  CHECK(first(2, 3, 4.9).find("clearly better, for 1 network evaluation instead") != std::string::npos);
  CHECK(fashion::summary(teacher, {{1, {8, 7, 9}, 0.9, std::nan("")}})[2].find("trajectories") == std::string::npos);
  CHECK(fashion::summary(teacher, {}).empty());
}
