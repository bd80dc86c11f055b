// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "description.hpp"
#include "results.hpp"

#include <hypersd/report/html_report.hpp>

#include <algorithm>

namespace compare {

/// Mean over seeds and half of its interval as a cell; empty where nothing was measured.
inline report::ReportCell cell(const metrics::Interval& v, int digits) {
  if (!std::isfinite(v.estimate)) return report::ReportCell("");
  return {v.estimate, digits, std::isfinite(v.low) ? 0.5 * (v.high - v.low) : NAN};
}

inline const char* guidance_words(Guidance g) {
  switch (g) {
    case Guidance::trained: return "trained in";
    case Guidance::sampled: return "when sampling";
    case Guidance::none: break;
  }
  return "none: from data";
}
inline const char* count_word(int n) { return n == 1 ? " step" : " steps"; }

/// What each method is and what it cost, in training (seconds and memory: the mean over seeds) and for a step of
/// sampling. [Hyper-SD Table 1, in small]
inline report::ReportTable methods_table(const std::vector<Description>& methods, const Results& results) {
  report::ReportTable t;
  t.columns = {{"Method"},
               {"Source"},
               {"Trajectory"},
               {"Students"},
               {"Guidance"},
               {"Training, iterations"},
               {"Training, network evaluations"},
               {"Training, seconds"},
               {"Training, peak memory, MB"},
               {"A step, evaluations"},
               {"A step, multiply-adds, M"}};
  for (const Description& m : methods) {
    double iterations = 0, evaluations = 0, step_evaluations = NAN, step_multiply_adds = NAN;
    int steps = 0;
    for (const Row& r : results.rows)
      if (r.method == m.name && r.sampler == m.samplers.front()) {
        iterations = r.iterations, evaluations = r.evaluations;
        step_evaluations = r.sample_evaluations / r.steps, step_multiply_adds = r.sample_multiply_adds / r.steps;
        steps = r.steps;
      }
    const auto of_training = [&](Measure measure) {
      // A resumed training was not measured.
      auto values = results.values(m.name, m.samplers.front(), steps, measure);
      std::erase_if(values, [](const auto& v) { return !(v.second > 0); });
      return m.trained && !values.empty() ? cell(Results::mean_of(values), 0) : report::ReportCell("");
    };
    t.rows.push_back(
        {{m.title, m.source, m.preserves ? "kept" : "replaced",
          !m.trained          ? ""
          : m.model_per_count ? "one for each number of steps"
                              : "one for all",
          guidance_words(m.guidance), m.trained ? report::ReportCell(io::fixed(iterations, 0)) : report::ReportCell(""),
          m.trained ? report::ReportCell(io::fixed(evaluations / 1000, 0) + " k") : report::ReportCell(""),
          of_training(&Row::seconds), of_training(&Row::peak_mb), cell({step_evaluations, NAN, NAN}, 0),
          cell({1e-6 * step_multiply_adds, NAN, NAN}, 1)},
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

/// One measure at `steps` steps by method and the value of the varied setting; the method's own is among the values.
inline report::ReportTable varied_table(const std::vector<Description>& methods, const Results& results,
                                        double guidance, const std::string& name, std::vector<double> values, int steps,
                                        Measure m, int digits) {
  for (const Description& method : methods)
    if (const auto own = method.settings.find(name); own != method.settings.end()) values.push_back(own->second);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  report::ReportTable t;
  t.columns = {{"Method"}, {"Sampler"}, {"its own"}};
  for (const double v : values) t.columns.push_back({name + " " + io::number(v)});
  for (const Description& method : methods) {
    const auto own = method.settings.find(name);
    if (own == method.settings.end()) continue;
    report::ReportRow row{{method.title, method.samplers.front(), io::number(own->second)}};
    for (const double v : values) {
      const std::string varied = v == own->second ? "" : name + "=" + io::number(v);
      row.cells.push_back(
          cell(results.at(guidance, varied).mean(method.name, method.samplers.front(), steps, m), digits));
    }
    t.rows.push_back(row);
  }
  return t;
}

/// One measure at `steps` steps by method and the guidance that was trained in, or that the teacher samples with.
inline report::ReportTable guidance_table(const std::vector<Description>& methods, const Results& results,
                                          const std::vector<double>& guidance, int steps, Measure m, report::Best best,
                                          int digits) {
  report::ReportTable t;
  t.columns = {{"Method"}, {"Sampler"}};
  for (const double g : guidance) t.columns.push_back({"guidance " + io::number(g), best});
  for (const Description& method : methods) {
    if (method.guidance == Guidance::none) continue;
    report::ReportRow row{{method.title, method.samplers.front()}, !method.trained};
    bool any = false;
    for (const double g : guidance) {
      const auto v = results.at(g).mean(method.name, method.samplers.front(), steps, m);
      any = any || std::isfinite(v.estimate);
      row.cells.push_back(cell(v, digits));
    }
    if (any) t.rows.push_back(row);
  }
  return t;
}

/// Three sentences of what a study found; the first only without a teacher or students.
inline std::vector<std::string> summary(const std::vector<Description>& methods, const Results& results,
                                        const std::vector<std::int64_t>& steps) {
  const auto of = [&](const Description& m, std::int64_t n, Measure measure) {
    return results.mean(m.name, m.samplers.front(), static_cast<int>(n), measure);
  };
  const auto steps_word = [](std::int64_t n) { return std::to_string(n) + count_word(static_cast<int>(n)); };
  // The trained method with the least (sign 1) or greatest (sign -1) mean at `n` steps.
  const auto best = [&](std::int64_t n, Measure measure, double sign) {
    const Description* out = nullptr;
    double least = NAN;
    for (const Description& m : methods)
      if (const double v = sign * of(m, n, measure).estimate; m.trained && std::isfinite(v) && !(v >= least))
        out = &m, least = v;
    return out;
  };
  std::string lowest, widths;
  const std::int64_t most = *std::max_element(steps.begin(), steps.end());
  for (const std::int64_t n : steps)
    if (const Description* m = best(n, &Row::fd, 1)) {
      lowest += (lowest.empty() ? "" : ", ") + steps_word(n) + ": **" + m->title + "** (" +
                io::fixed(of(*m, n, &Row::fd).estimate, 1) + ")";
      if (const auto v = of(*m, n, &Row::fd); std::isfinite(v.low))
        widths += (widths.empty() ? "" : ", ") + io::fixed(0.5 * (v.high - v.low), 1);
    }
  if (lowest.empty()) return {"No student was measured."};
  std::vector<std::string> out{"Lowest mean FD of the students, " + lowest + "."};
  const Description *right = best(most, &Row::agreement, -1), *near = best(most, &Row::trajectory, 1);
  std::string second = "In " + steps_word(most) + " **" + right->title + "** shows the caption most often (" +
                       io::fixed(of(*right, most, &Row::agreement).estimate, 1) + " %)";
  if (near != nullptr)
    second += " and **" + near->title + "** is nearest to the teacher's trajectories (error " +
              io::compact(of(*near, most, &Row::trajectory).estimate, 2) + ")";
  out.push_back(second + ".");
  out.push_back(widths.empty() ? "One seed: differences between methods can be chance."
                               : "The means of FD named above are known to ± " + widths +
                                     " only: whether one method is ahead of another is told by differences of the same "
                                     "seed, `examples/verdicts.py`.");
  return out;
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
