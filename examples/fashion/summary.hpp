// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/text.hpp>
#include <hypersd/metrics/bootstrap.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace fashion {

/// What the summary of a run says of one sampler.
struct Headline {
  std::int64_t steps = 0;
  hypersd::metrics::Interval frechet;
  double agreement = 0;   ///< in [0, 1]
  double trajectory = 0;  ///< NaN: not measured
};

/// Three sentences of what happened: the best number of steps against the teacher, one step, captions and trajectory.
/// `student` is in the order of its numbers of steps. A difference of FD counts as one where the intervals, which are
/// of the same noise, do not overlap. Empty without a student.
inline std::vector<std::string> summary(const Headline& teacher, const std::vector<Headline>& student) {
  using hypersd::io::fixed;
  if (student.empty()) return {};
  const auto steps = [](std::int64_t n) { return std::to_string(n) + (n == 1 ? " step" : " steps"); };
  const auto evaluations = [](std::int64_t n) {
    return std::to_string(n) + (n == 1 ? " network evaluation" : " network evaluations");
  };
  const auto times = [](double ratio) { return fixed(ratio, ratio < 10 ? 1 : 0) + " times"; };
  const auto by_distance = [](const Headline& a, const Headline& b) { return a.frechet.estimate < b.frechet.estimate; };
  const Headline& best = *std::min_element(student.begin(), student.end(), by_distance);
  std::vector<std::string> out;
  const std::string told = best.frechet.high < teacher.frechet.low   ? "clearly better"
                           : best.frechet.low > teacher.frechet.high ? "clearly worse"
                                                                     : "which the intervals of the samples cannot tell "
                                                                       "apart";
  out.push_back("The student is best in **" + steps(best.steps) + "**: FD " + fixed(best.frechet.estimate, 1) +
                " where the teacher has " + fixed(teacher.frechet.estimate, 1) + " in " + steps(teacher.steps) + ", " +
                told + ", for " + evaluations(best.steps) + " instead of " + std::to_string(2 * teacher.steps) + ".");
  const Headline& first = student.front();
  const double ratio = first.frechet.estimate / teacher.frechet.estimate;
  out.push_back("In **" + steps(first.steps) + "** its FD is " + fixed(first.frechet.estimate, 1) + ", " +
                times(ratio) + " the teacher's.");
  const auto by_agreement = [](const Headline& a, const Headline& b) { return a.agreement < b.agreement; };
  const auto [low, high] = std::minmax_element(student.begin(), student.end(), by_agreement);
  std::string last = fixed(100 * low->agreement, 1) + " % (" + steps(low->steps) + ") to " +
                     fixed(100 * high->agreement, 1) + " % (" + steps(high->steps) +
                     ") of its pictures show their caption, of the teacher's " + fixed(100 * teacher.agreement, 1) +
                     " %";
  const Headline *near = nullptr, *far = nullptr;
  for (const Headline& h : student) {
    if (!std::isfinite(h.trajectory)) continue;
    if (near == nullptr || h.trajectory < near->trajectory) near = &h;
    if (far == nullptr || h.trajectory > far->trajectory) far = &h;
  }
  if (near != nullptr && near != far)
    last += "; it is nearest to the end of the teacher's trajectories in " + steps(near->steps) + " (error " +
            fixed(near->trajectory, 3) + ") and farthest in " + steps(far->steps) + " (" + fixed(far->trajectory, 3) +
            ")";
  out.push_back(last + ".");
  return out;
}

}  // namespace fashion
