// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "description.hpp"
#include "results.hpp"

#include <hypersd/report/html_report.hpp>

namespace compare {

/// Mean over seeds and half of its interval as a cell; empty where nothing was measured.
inline report::ReportCell cell(const metrics::Interval& v, int digits) {
  if (!std::isfinite(v.estimate)) return report::ReportCell("");
  return {v.estimate, digits, std::isfinite(v.low) ? 0.5 * (v.high - v.low) : NAN};
}

inline const char* count_word(int n) { return n == 1 ? " step" : " steps"; }

/// What each method is and what it cost. [Hyper-SD Table 1, in small]
inline report::ReportTable methods_table(const std::vector<Description>& methods, const Results& results) {
  report::ReportTable t;
  t.columns = {{"Method"},
               {"Source"},
               {"Trajectory"},
               {"Students"},
               {"Guidance when sampling"},
               {"Training, iterations"},
               {"Training, network evaluations"}};
  for (const Description& m : methods) {
    double iterations = 0, evaluations = 0;
    for (const Row& r : results.rows)
      if (r.method == m.name) iterations = r.iterations, evaluations = r.evaluations;
    t.rows.push_back(
        {{m.title, m.source, m.preserves ? "kept" : "replaced",
          !m.trained          ? ""
          : m.model_per_count ? "one for each number of steps"
                              : "one for all",
          m.trained ? "none" : "needed",
          m.trained ? report::ReportCell(io::fixed(iterations, 0)) : report::ReportCell(""),
          m.trained ? report::ReportCell(io::fixed(evaluations / 1000, 0) + " k") : report::ReportCell("")},
         !m.trained});
  }
  return t;
}

/// One measure by method and number of steps, each with its first sampler. [Hyper-SD Table 2, in small]
inline report::ReportTable measure_table(const std::vector<Description>& methods, const Results& results,
                                         const std::vector<std::int64_t>& steps, Measure m, report::Best best,
                                         int digits) {
  report::ReportTable t;
  t.columns = {{"Method"}, {"Sampler"}};
  for (const std::int64_t n : steps) t.columns.push_back({std::to_string(n) + count_word(static_cast<int>(n)), best});
  for (const Description& method : methods)
    for (const std::string& sampler : method.samplers) {
      report::ReportRow row{{method.title, sampler}, !method.trained};
      bool any = false;
      for (const std::int64_t n : steps) {
        const auto v = results.mean(method.name, sampler, static_cast<int>(n), m);
        any = any || std::isfinite(v.estimate);
        row.cells.push_back(cell(v, digits));
      }
      if (any) t.rows.push_back(row);
    }
  return t;
}

/// An ordering that the paper's tables show, to be looked for here: `better` ahead of `worse` in a measure.
struct Claim {
  std::string table, better, worse;
  int steps;
  std::string measure;
};

/// Orderings of the paper's Tables 2, 3 and 5 without the rows that feedback learning adds.
inline std::vector<Claim> paper_claims() {
  std::vector<Claim> out;
  for (const char* other : {"lcm", "cd", "tcd", "ctm", "perflow", "add", "lightning"})
    for (const char* measure : {"FD", "agreement"}) out.push_back({"2", "tscd", other, 4, measure});
  for (const char* other : {"add", "lightning"})
    for (const char* measure : {"FD", "agreement"}) out.push_back({"2", "tscd", other, 1, measure});
  for (const char* other : {"tscd", "add", "lightning", "sds"})
    for (const char* measure : {"FD", "agreement"}) out.push_back({"3", "dmd", other, 1, measure});
  for (const int n : {1, 2, 4, 8})
    for (const char* measure : {"FD", "agreement", "trajectory error"}) out.push_back({"5", "tscd", "tcd", n, measure});
  for (const char* other : {"cd", "ctm"})
    for (const char* measure : {"FD", "agreement"}) out.push_back({"5", "tscd", other, 2, measure});
  for (const int n : {2, 4})
    for (const char* measure : {"FD", "agreement"}) out.push_back({"5", "tscd_terms", "ctm", n, measure});
  return out;
}

/// Whether a claim holds: the paired difference's 95 % interval lies on its side, on the other, or holds 0.
struct Verdict {
  metrics::Interval difference;
  std::string word;
};
inline Verdict judge(const Results& results, const std::vector<Description>& methods, const Claim& c) {
  const auto values = [&](const std::string& name) {
    const Measure m = c.measure == "FD" ? &Row::fd : c.measure == "agreement" ? &Row::agreement : &Row::trajectory;
    for (const Description& method : methods)
      if (method.name == name) return results.values(name, method.samplers.front(), c.steps, m);
    return std::map<std::uint64_t, double>{};
  };
  const double sign = c.measure == "agreement" ? -1 : 1;  // of a difference that is bad for the claim
  Verdict v{results.difference(values(c.better), values(c.worse)), ""};
  if (!std::isfinite(v.difference.estimate)) return v;
  const double low = std::min(sign * v.difference.low, sign * v.difference.high);
  const double high = std::max(sign * v.difference.low, sign * v.difference.high);
  v.word = !std::isfinite(low) ? "one seed only" : high < 0 ? "holds" : low > 0 ? "does not hold" : "cannot be told";
  return v;
}
inline report::ReportTable claims_table(const Results& results, const std::vector<Description>& methods) {
  report::ReportTable t;
  t.columns = {{"Paper's table"}, {"Claim"}, {"Steps"}, {"Measure"}, {"Difference here"}, {"Verdict"}};
  for (const Claim& c : paper_claims()) {
    const Verdict v = judge(results, methods, c);
    if (v.word.empty()) continue;
    const auto title = [&](const std::string& name) {
      for (const Description& m : methods)
        if (m.name == name) return m.title;
      return name;
    };
    t.rows.push_back({{c.table, title(c.better) + " ahead of " + title(c.worse), std::to_string(c.steps), c.measure,
                       cell(v.difference, c.measure == "trajectory error" ? 4 : 2), v.word}});
  }
  return t;
}

/// A table as GitHub's Markdown.
inline std::string markdown(const report::ReportTable& t) {
  std::string out = "|", rule = "|";
  for (const auto& c : t.columns) out += " " + c.name + " |", rule += "---|";
  out += "\n" + rule + "\n";
  for (const auto& row : t.rows) {
    out += "|";
    for (const auto& c : row.cells) {
      std::string text = c.text;
      if (c.value) text = io::fixed(*c.value, c.digits);
      if (c.value && std::isfinite(c.half_width)) text += " ± " + io::fixed(c.half_width, c.digits);
      out += " " + text + " |";
    }
    out += "\n";
  }
  return out;
}

}  // namespace compare
