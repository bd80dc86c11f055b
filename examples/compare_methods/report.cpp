// SPDX-License-Identifier: Apache-2.0
/// Tables, pictures and the page of a study.
#include "report.hpp"

#include <hypersd/io/npy.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/plot.hpp>

namespace compare {

namespace {

std::string explanation(const StudyOptions& o) {
  return "**FD** is the Frechet distance to the 10,000 test images in a classifier's features, in units in which 2,000 "
         "real images are 1.10 away; **agreement** the share of samples (in percent) in which the classifier finds the "
         "prompted class; **trajectory error** the mean squared distance of latents to the guided teacher's 50-step "
         "end "
         "points from the same noise, for deterministic samplers. " +
         std::to_string(o.base.eval_samples) + " samples a number. ± is half of a 95 % t-interval over " +
         std::to_string(o.seeds) + (o.seeds == 1 ? " seed (none for one)." : " seeds, each with a teacher of its own.");
}

std::string budget_text(const StudyOptions& o) {
  return "Each method may spend " + io::compact(o.budget) +
         " thousand network evaluations on training (one sample through one network; a pass with gradient counts three "
         "times; guided evaluations of the teacher count twice; features for a critic count half), divided equally "
         "among "
         "its stages. All methods train an adapter of rank " +
         std::to_string(o.base.rank) + " on the same teacher with batches of " + std::to_string(o.base.distill_batch) +
         ".";
}

struct NamedTable {
  std::string title;
  report::ReportTable table;
};

std::vector<NamedTable> tables(const StudyOptions& o, const std::vector<Description>& methods, const Results& results) {
  std::vector<NamedTable> out;
  out.push_back({"Methods and cost (Table 1 in small)", methods_table(methods, results)});
  out.push_back({"Frechet distance (Tables 2 and 3 in small)",
                 measure_table(methods, results, o.steps, &Row::fd, report::Best::Lowest, 2)});
  out.push_back({"Agreement, %", measure_table(methods, results, o.steps, &Row::agreement, report::Best::Highest, 1)});
  out.push_back(
      {"Trajectory error", measure_table(methods, results, o.steps, &Row::trajectory, report::Best::Lowest, 4)});
  std::vector<Description> pair;
  for (const Description& m : methods)
    if (m.name == "tcd" || m.name == "tscd") pair.push_back(m);
  if (pair.size() == 2) {
    out.push_back({"Segments or not: FD (Table 5 in small)",
                   measure_table(pair, results, o.steps, &Row::fd, report::Best::Lowest, 2)});
  }
  const auto claims = claims_table(results, methods);
  if (!claims.rows.empty()) out.push_back({"The paper's orderings here", claims});
  return out;
}

/// Rows are methods, groups of columns numbers of steps; the same noise and classes everywhere.
std::string picture(const StudyOptions& o, const std::vector<Description>& methods) {
  std::vector<Tensor<float>> cells;
  report::GridOptions grid;
  const auto add = [&](const Tensor<float>& images, std::int64_t first, std::int64_t n) {
    for (std::int64_t i = first; i < first + n; ++i) cells.push_back(images.slice(i, i + 1));
  };
  constexpr std::int64_t each = 6;
  for (const Description& m : methods) {
    std::vector<Tensor<float>> found;
    Shape shape;
    for (const std::int64_t n : o.steps) {
      const auto path = picture_file(o, o.first_seed, m.name, static_cast<int>(n));
      found.push_back(std::filesystem::exists(path) ? io::read_npy<float>(path) : Tensor<float>());
      if (found.back().defined()) shape = found.back().shape();
    }
    if (shape.rank() != 4) continue;
    grid.row_captions.push_back(m.name);
    for (const auto& images : found)
      add(images.defined() ? images : Tensor<float>::full(shape, 1.0f), 0, std::min(each, shape[0]));
  }
  if (cells.empty()) return {};
  Tensor<float> all(cells[0].shape().with(0, static_cast<std::int64_t>(cells.size())));
  for (std::size_t i = 0; i < cells.size(); ++i)
    all.slice(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1).copy_from(cells[i]);
  for (const std::int64_t n : o.steps)
    grid.column_captions.push_back(std::to_string(n) + count_word(static_cast<int>(n)));
  grid.columns = static_cast<int>(cells.size() / grid.row_captions.size());
  grid.group = grid.columns / static_cast<int>(o.steps.size());
  grid.scale = 1;
  return report::image_grid(all, grid);
}

std::string plot(const StudyOptions& o, const std::vector<Description>& methods, const Results& results, Measure m,
                 const std::string& title, bool log_y) {
  std::vector<report::PlotSeries> series;
  std::vector<double> ticks(o.steps.begin(), o.steps.end());
  for (const Description& method : methods) {
    report::PlotSeries s{.name = method.name, .markers = true};
    s.dashed = !method.trained;
    bool intervals = true;
    for (const std::int64_t n : o.steps) {
      const auto v = results.mean(method.name, method.samplers.front(), static_cast<int>(n), m);
      if (!std::isfinite(v.estimate)) continue;
      s.x.push_back(static_cast<double>(n));
      s.y.push_back(v.estimate);
      s.low.push_back(v.low);
      s.high.push_back(v.high);
      intervals = intervals && std::isfinite(v.low) && (!log_y || v.low > 0);
    }
    if (!intervals) s.low.clear(), s.high.clear();
    if (!s.x.empty()) series.push_back(std::move(s));
  }
  if (series.empty()) return {};
  return report::line_plot(
      series, {.title = title, .x_label = "sampling steps", .log_x = true, .log_y = log_y, .x_ticks = ticks});
}

}  // namespace

std::string markdown_tables(const StudyOptions& o, const std::vector<Description>& methods, const Results& results) {
  std::string out;
  for (const auto& [title, table] : tables(o, methods, results))
    out += "### " + title + "\n\n" + markdown(table) + "\n";
  return out;
}

void write_study(const StudyOptions& o, const std::vector<Description>& methods, const Results& results) {
  const auto file = [&](const char* name) { return (o.base.out / name).string(); };
  save_rows(file("compare.csv"), results.rows);
  std::string lines;
  for (const Row& r : results.rows) {
    std::string line;
    for (const auto& [name, value] : metric_row(r))
      line += (line.empty() ? "{" : ", ") + io::json_string(name) + ": " + value.json();
    lines += line + "}\n";
  }
  io::atomic_write(file("compare.jsonl"), lines);
  io::atomic_write(file("tables.md"),
                   budget_text(o) + "\n\n" + explanation(o) + "\n\n" + markdown_tables(o, methods, results));

  report::HtmlReport page("Few-step methods on one bench", "Fashion-MNIST, one teacher a seed, equal budgets");
  page.section("Pictures");
  const auto image = picture(o, methods);
  if (!image.empty()) {
    io::atomic_write(file("samples.svg"), image);
    page.paragraph(
        "A row is a method, a group of columns a number of sampling steps; a place in a group is one class and "
        "one noise, the same everywhere. Methods that keep the teacher's trajectories resemble it place by place.");
    page.drawing(image);
  }
  page.section("Quality by steps", "Plots");
  page.begin_columns();
  for (const auto& svg : {plot(o, methods, results, &Row::fd, "Frechet distance", true),
                          plot(o, methods, results, &Row::agreement, "Agreement, %", false),
                          plot(o, methods, results, &Row::trajectory, "Trajectory error", true)})
    if (!svg.empty()) page.drawing(svg);
  page.end_columns();
  page.section("Tables");
  page.paragraph(budget_text(o));
  page.paragraph(explanation(o));
  for (const auto& [title, table] : tables(o, methods, results)) page.heading(title).table(table);
  page.footer("Written by hypersd_compare_methods.");
  page.save(file("report.html"));
}

}  // namespace compare
