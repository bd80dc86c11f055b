// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/csv.hpp>
#include <hypersd/io/metric_log.hpp>
#include <hypersd/metrics/student_t.hpp>

#include <filesystem>

namespace compare {

/// One measurement: a method's sampler at a number of steps, one seed. NaN where there is nothing to measure.
struct Row {
  std::string method, sampler;
  std::string varied;  ///< the setting that is not the method's own, "rate=0.001"; empty: all are
  int steps = 0;
  std::uint64_t seed = 0;
  double fd = NAN, agreement = NAN, trajectory = NAN;   ///< agreement in percent
  double fd_low = NAN, fd_high = NAN;                   ///< bootstrap interval within the seed
  double evaluations = 0, iterations = 0, seconds = 0;  ///< of training; seconds 0 if it was resumed
  double guidance = fashion::Options{}.guidance;        ///< trained in; of the teacher's sampler
  /// Network evaluations and multiply-adds for one sample; NaN in results of versions that did not count them.
  double sample_evaluations = NAN, sample_multiply_adds = NAN;
  double peak_mb = NAN;  ///< of resident memory in training above that before; NaN if unknown
};

inline const std::vector<std::string>& row_columns() {
  static const std::vector<std::string> names{"method",
                                              "sampler",
                                              "varied",
                                              "steps",
                                              "seed",
                                              "fd",
                                              "fd_low",
                                              "fd_high",
                                              "agreement",
                                              "trajectory",
                                              "evaluations",
                                              "iterations",
                                              "seconds",
                                              "guidance",
                                              "sample_evaluations",
                                              "sample_multiply_adds",
                                              "peak_mb"};
  return names;
}
inline io::MetricRow metric_row(const Row& r) {
  return {{"method", r.method},
          {"sampler", r.sampler},
          {"varied", r.varied},
          {"steps", r.steps},
          {"seed", r.seed},
          {"fd", r.fd},
          {"fd_low", r.fd_low},
          {"fd_high", r.fd_high},
          {"agreement", r.agreement},
          {"trajectory", r.trajectory},
          {"evaluations", r.evaluations},
          {"iterations", r.iterations},
          {"seconds", r.seconds},
          {"guidance", r.guidance},
          {"sample_evaluations", r.sample_evaluations},
          {"sample_multiply_adds", r.sample_multiply_adds},
          {"peak_mb", r.peak_mb}};
}

/// Columns that files of earlier versions do not have.
inline const std::vector<std::pair<const char*, double Row::*>>& newer_columns() {
  static const std::vector<std::pair<const char*, double Row::*>> columns{
      {"guidance", &Row::guidance},
      {"sample_evaluations", &Row::sample_evaluations},
      {"sample_multiply_adds", &Row::sample_multiply_adds},
      {"peak_mb", &Row::peak_mb}};
  return columns;
}

/// Writes the rows of one method and seed at once; the file is there only when all are.
inline void save_rows(const std::string& path, const std::vector<Row>& rows) {
  std::string text = io::csv_line(row_columns());
  for (const Row& r : rows) {
    std::vector<std::string> fields;
    for (const auto& [name, value] : metric_row(r)) fields.push_back(value.csv());
    text += io::csv_line(fields);
  }
  io::atomic_write(path, text);
}
/// Throws FormatError naming the file.
inline std::vector<Row> load_rows(const std::string& path) {
  const io::CsvTable table = io::read_csv(path);
  std::vector<Row> out;
  for (const auto& fields : table.rows) {
    const auto number = [&](const char* column) {
      const std::string& text = fields[table.column(column)];
      try {
        return std::stod(text);
      } catch (const std::exception&) {
        fail<FormatError>("CSV file ", io::in_quotes(path), ": ", column, " is ", io::in_quotes(text));
      }
    };
    Row r{.method = fields[table.column("method")],
          .sampler = fields[table.column("sampler")],
          .varied = {},
          .steps = static_cast<int>(number("steps")),
          .seed = static_cast<std::uint64_t>(number("seed")),
          .fd = number("fd"),
          .agreement = number("agreement"),
          .trajectory = number("trajectory"),
          .fd_low = number("fd_low"),
          .fd_high = number("fd_high"),
          .evaluations = number("evaluations"),
          .iterations = number("iterations"),
          .seconds = number("seconds")};
    // Results of earlier versions lack these columns.
    const auto varied = std::find(table.columns.begin(), table.columns.end(), "varied");
    if (varied != table.columns.end()) r.varied = fields[table.column("varied")];
    for (const auto& [column, member] : newer_columns())
      if (std::find(table.columns.begin(), table.columns.end(), column) != table.columns.end())
        r.*member = number(column);
    out.push_back(std::move(r));
  }
  return out;
}

/// Which number of a row.
using Measure = double Row::*;

/// All rows of a study.
struct Results {
  std::vector<Row> rows;

  /// Those of one guidance, and of methods with their own settings or with one changed.
  [[nodiscard]] Results at(double guidance, const std::string& varied = {}) const {
    Results out;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(out.rows),
                 [&](const Row& r) { return r.guidance == guidance && r.varied == varied; });
    return out;
  }
  /// Values over seeds, in the order of seeds.
  [[nodiscard]] std::map<std::uint64_t, double> values(const std::string& method, const std::string& sampler, int steps,
                                                       Measure m) const {
    std::map<std::uint64_t, double> out;
    for (const Row& r : rows)
      if (r.method == method && r.sampler == sampler && r.steps == steps && std::isfinite(r.*m)) out[r.seed] = r.*m;
    return out;
  }
  /// Mean over seeds with its 95 % t-interval; without an interval (NaN ends) for one seed, all NaN for none.
  [[nodiscard]] metrics::Interval mean(const std::string& method, const std::string& sampler, int steps,
                                       Measure m) const {
    return mean_of(values(method, sampler, steps, m));
  }
  /// Mean over seeds of the paired difference a - b.
  [[nodiscard]] metrics::Interval difference(const std::map<std::uint64_t, double>& a,
                                             const std::map<std::uint64_t, double>& b) const {
    std::map<std::uint64_t, double> gaps;
    for (const auto& [seed, value] : a)
      if (const auto it = b.find(seed); it != b.end()) gaps[seed] = value - it->second;
    return mean_of(gaps);
  }
  /// Mean of values by seed, as `mean`.
  static metrics::Interval mean_of(const std::map<std::uint64_t, double>& by_seed) {
    std::vector<double> v;
    for (const auto& [seed, value] : by_seed) v.push_back(value);
    if (v.empty()) return {NAN, NAN, NAN};
    if (v.size() == 1) return {v[0], NAN, NAN};
    return metrics::t_interval(v);
  }
};

}  // namespace compare
