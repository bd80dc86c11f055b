// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "measure.hpp"
#include "summary.hpp"

#include <hypersd/report/html_report.hpp>
#include <hypersd/report/plot.hpp>

#include <fstream>
#include <sstream>

namespace fashion {

/// A loss curve read back from the run's CSV.
inline report::PlotSeries loss_curve(const Run& run, const std::string& phase) {
  report::PlotSeries series;
  series.name = phase;
  std::ifstream file(run.directory.loss_log(phase) + ".csv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string step, loss;
    if (!std::getline(fields, step, ',') || !std::getline(fields, loss, ',')) continue;
    series.x.push_back(std::stod(step));
    series.y.push_back(std::stod(loss));
  }
  return series;
}

inline std::string label(const Result& r) {
  std::string out = r.method + ", " + std::to_string(r.steps) + (r.steps == 1 ? " step" : " steps");
  if (r.eta > 0) out += ", eta " + io::number(r.eta);
  return out;
}

/// Everything that the report shows beside what can be read from the run folder.
struct Findings {
  std::vector<Result> results;
  std::vector<SweepPoint> sweep;                       ///< strengths of the feedback adapter
  double preference_accuracy = 0, judge_accuracy = 0;  ///< of the rewards, on held-out pairs
  double reconstruction = 0, accuracy = 0, seconds = 0;
  std::vector<std::string> phases;
  std::vector<std::pair<std::string, std::string>> settings;
};

inline report::ReportCell cell(const metrics::Interval& v, int decimals, double factor = 1) {
  return {factor * v.estimate, decimals, factor * 0.5 * (v.high - v.low)};
}

/// The pictures of a run, as markup.
struct Drawings {
  std::string samples, strip, stages, autoencoder;
};

/// One self-contained page with the run's pictures, measures and curves.
inline void write_report(const Run& run, const Findings& found, const Drawings& drawings) {
  const Options& o = run.options;
  report::HtmlReport page("Hyper-SD in small: Fashion-MNIST",
                          "Preset " + o.preset + ", seed " + std::to_string(o.seed));
  auto find = [&](const std::string& method, std::int64_t steps) {
    for (const Result& r : found.results)
      if (r.method == method && r.steps == steps && r.eta == 0) return r;
    return Result{};
  };
  std::string best;  // what the last part that keeps all numbers of steps has made
  for (const char* part : {"tscd", "feedback", "one-step"})
    for (const Result& r : found.results)
      if (r.method == title_of(part, o)) best = r.method;
  const Result teacher = find("teacher", o.teacher_inference_steps), four = find(best, 4), one = find(best, 1);
  auto number = [](double v, int digits) {
    std::ostringstream out;
    out.setf(std::ios::fixed);
    out.precision(digits);
    out << v;
    return out.str();
  };
  std::vector<Headline> student;
  for (const Result& r : found.results)
    if (r.method == best && r.eta == 0)
      student.push_back({r.steps, r.frechet, r.agreement.estimate, r.trajectory.estimate});
  page.section("What happened", "Summary");
  page.bullets(summary({teacher.steps, teacher.frechet, teacher.agreement.estimate, 0}, student));
  page.cards({{"Teacher, " + std::to_string(o.teacher_inference_steps) + " steps", number(teacher.frechet.estimate, 1),
               "FD", number(100 * teacher.agreement.estimate, 1) + " % show their caption"},
              {"Student, 4 steps", number(four.frechet.estimate, 1), "FD",
               number(100 * four.agreement.estimate, 1) + " % show their caption"},
              {"Student, 1 step", number(one.frechet.estimate, 1), "FD",
               number(100 * one.agreement.estimate, 1) + " % show their caption"},
              {"Whole run", number(found.seconds / 60, 1), "min",
               o.device == "cpu" ? "on " + std::to_string(num_threads()) + (num_threads() == 1 ? " thread" : " threads")
                                 : "on a GPU"}});
  page.section("Pictures");
  page.paragraph(
      "Each row is one caption; each group of columns is one sampler. All samplers start from the same noise, so "
      "pictures at the same place in two groups should resemble each other: the student follows the teacher's "
      "trajectories, only in fewer steps.");
  page.drawing(drawings.strip,
               "Two samplers on the same noise; the third row is their difference. Look for what moves when the number "
               "of steps changes: outlines should stay, and the difference to the teacher in 25 steps should be dark.");
  page.drawing(drawings.samples,
               "Teacher (guided DDIM) beside the student (TCD sampler, no guidance). Look along a row: blotches in the "
               "column of one step are what its FD counts; prints and straps are the first to go.");
  page.drawing(drawings.stages,
               "After each part of the recipe, in one step and in four, from the same noise. Look down a column: parts "
               "should change details, not which object is drawn.");

  page.section("Measures");
  report::ReportTable table;
  table.columns = {{"Sampler"},
                   {"FD", report::Best::Lowest},
                   {"Agreement, %", report::Best::Highest},
                   {"Trajectory error", report::Best::Lowest},
                   {"Judge", report::Best::Highest},
                   {"Preference", report::Best::Highest},
                   {"Aesthetic", report::Best::Highest}};
  for (const Result& r : found.results) {
    const bool reference = r.method == "teacher" || r.method == "real, autoencoded";
    report::ReportCell trajectory("");
    if (std::isfinite(r.trajectory.estimate)) trajectory = cell(r.trajectory, 4);
    table.rows.push_back(
        {{r.method == "real, autoencoded" ? r.method : label(r), cell(r.frechet, 2), cell(r.agreement, 1, 100),
          trajectory, cell(r.judge, 2), cell(r.preference, 2), cell(r.aesthetic, 2)},
         reference});
  }
  page.table(table);
  page.paragraph(
      "**FD** is the Frechet distance to the 10,000 test images in the features of a classifier, in units in which "
      "2,000 real images are 1.10 away; **agreement** is the share of samples in which that classifier (" +
      number(100 * found.accuracy, 1) +
      " % accurate on real images) finds the prompted class; **trajectory error** "
      "is the mean squared distance of latents to the teacher's 50-step end points from the same noise. "
      "**Preference** and **aesthetic** are the rewards that feedback learning raises; the **judge** is a preference "
      "model with other data, seed and architecture that nothing was trained on. They order " +
      number(100 * found.preference_accuracy, 1) + " % (preference) and " + number(100 * found.judge_accuracy, 1) +
      " % (judge) of held-out pairs rightly. ± is half of a 95 % bootstrap interval over " +
      std::to_string(o.eval_samples) + " samples.");
  report::ReportTable fidelity;
  fidelity.columns = {{"Sampler"},
                      {"FD, infinite N", report::Best::Lowest},
                      {"Kernel distance", report::Best::Lowest},
                      {"Precision", report::Best::Highest},
                      {"Recall", report::Best::Highest},
                      {"Density", report::Best::Highest},
                      {"Coverage", report::Best::Highest},
                      {"Memorized, %"},
                      {"Diversity"}};
  for (const Result& r : found.results) {
    const Fidelity& f = r.fidelity;
    fidelity.rows.push_back({{r.steps == 0 ? r.method : label(r),
                              {f.frechet.value, 2, 2 * f.frechet.standard_error},
                              {f.kernel.value, 3, 2 * f.kernel.standard_error},
                              {f.manifold.precision, 2},
                              {f.manifold.recall, 2},
                              {f.manifold.density, 2},
                              {f.manifold.coverage, 2},
                              {100 * f.memorized, 1},
                              {f.diversity, 2}},
                             r.method == "teacher" || r.method == "real, autoencoded"});
  }
  page.heading("Fidelity and diversity");
  page.table(fidelity);
  page.paragraph(
      "In the same features, beside as many test images. **FD, infinite N** is extrapolated, so it has no bias of few "
      "samples; the **kernel distance** is unbiased and can be negative. **Precision** and **density** fall where "
      "samples do not look real, **recall** and **coverage** where real images are not drawn. **Memorized**: samples "
      "nearer to a training image than 5 % of the test images are, so 5 % is what chance gives. **Diversity**: mean "
      "distance within a class, 1 for real images. ± is two standard errors.");
  if (!found.sweep.empty()) {
    report::PlotSeries judge{.name = "judge", .markers = true}, domain{.name = "FD to the teacher", .markers = true};
    for (const SweepPoint& p : found.sweep) {
      judge.x.push_back(p.weight), judge.y.push_back(p.judge);
      domain.x.push_back(p.weight), domain.y.push_back(p.teacher_distance);
    }
    page.heading("Strength of the feedback adapter, 4 steps");
    page.begin_columns();
    page.drawing(report::line_plot({judge}, {.title = "Judge", .x_label = "merge weight", .y_label = "mean score"}));
    page.drawing(report::line_plot(
        {domain}, {.title = "FD to the teacher's samples", .x_label = "merge weight", .y_label = "FD"}));
    page.end_columns();
  }
  std::vector<report::PlotSeries> fd, agreement, trajectory;
  for (const std::string method : {"TSCD", "TSCD + feedback", "TCD", "TCD + feedback", "unified"}) {
    report::PlotSeries a{.name = method, .markers = true}, b = a, c = a;
    for (const Result& r : found.results) {
      if (r.method != method || r.eta > 0) continue;
      const auto x = static_cast<double>(r.steps);
      auto add = [x](report::PlotSeries& series, const metrics::Interval& v, double factor) {
        series.x.push_back(x);
        series.y.push_back(factor * v.estimate);
        series.low.push_back(factor * v.low);
        series.high.push_back(factor * v.high);
      };
      add(a, r.frechet, 1);
      add(b, r.agreement, 100);
      add(c, r.trajectory, 1);
    }
    if (!a.x.empty()) fd.push_back(a), agreement.push_back(b), trajectory.push_back(c);
  }
  if (!fd.empty()) {
    const std::vector<double> ends{fd[0].x.front(), fd[0].x.back()};
    fd.push_back(
        {.name = "teacher", .x = ends, .y = {teacher.frechet.estimate, teacher.frechet.estimate}, .dashed = true});
    agreement.push_back({.name = "teacher",
                         .x = ends,
                         .y = {100 * teacher.agreement.estimate, 100 * teacher.agreement.estimate},
                         .dashed = true});
    page.begin_columns();
    page.drawing(report::line_plot(fd, {.title = "Frechet distance",
                                        .x_label = "sampling steps",
                                        .y_label = "FD (real images: 1.10)",
                                        .log_x = true,
                                        .log_y = true,
                                        .x_ticks = fd[0].x}),
                 "Lower is better; both axes are logarithmic. Bands are 95 % bootstrap intervals over samples.");
    page.drawing(report::line_plot(agreement, {.title = "Agreement",
                                               .x_label = "sampling steps",
                                               .y_label = "agreement, %",
                                               .log_x = true,
                                               .x_ticks = fd[0].x}),
                 "Higher is better; the axis does not begin at 0.");
    page.drawing(report::line_plot(trajectory, {.title = "Trajectory error",
                                                .x_label = "sampling steps",
                                                .y_label = "mean squared latent distance",
                                                .log_x = true,
                                                .log_y = true,
                                                .x_ticks = fd[0].x}),
                 "Lower is nearer to where the teacher's 50 steps end.");
    page.end_columns();
  }

  page.section("Training");
  page.begin_columns();
  for (const std::string& phase : found.phases) {
    const auto curve = loss_curve(run, phase);
    if (!curve.x.empty())
      page.drawing(report::line_plot(
          {curve},
          {.title = phase, .x_label = "step", .y_label = "loss", .log_y = true, .smooth = true, .width = 420}));
  }
  page.end_columns();
  page.heading("Autoencoder");
  page.drawing(drawings.autoencoder, "Real images (above) and what the autoencoder keeps of them (below)");
  page.begin_details("Options of this run").key_values(found.settings).end_details();
  page.footer("Written by hypersd_fashion.");
  page.save(run.directory.file("report.html"));
}

}  // namespace fashion
