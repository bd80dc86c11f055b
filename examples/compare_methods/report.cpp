// SPDX-License-Identifier: Apache-2.0
/// Tables, pictures and the page of a study.
#include "report.hpp"

#include <hypersd/io/npy.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/image_strip.hpp>
#include <hypersd/report/plot.hpp>
#include <numeric>

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

std::string steps_text(std::int64_t n) { return std::to_string(n) + count_word(static_cast<int>(n)); }

struct NamedTable {
  std::string title;
  report::ReportTable table;
};

std::vector<NamedTable> tables(const StudyOptions& o, const std::vector<Description>& methods, const Results& all) {
  std::vector<NamedTable> out;
  const Results results = all.at(o.guidance.front());
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
  if (o.guidance.size() > 1)
    for (const std::int64_t n : o.steps) {
      const std::string at = " by guidance, " + steps_text(n);
      const auto add = [&](const std::string& title, Measure m, report::Best best, int digits) {
        out.push_back({title + at, guidance_table(methods, all, o.guidance, static_cast<int>(n), m, best, digits)});
      };
      add("Frechet distance", &Row::fd, report::Best::Lowest, 2);
      add("Agreement, %,", &Row::agreement, report::Best::Highest, 1);
    }
  if (!o.varied.empty())
    for (const std::int64_t n : o.steps)
      out.push_back(
          {"Frechet distance by " + o.varied + ", " + steps_text(n),
           varied_table(methods, all, o.guidance.front(), o.varied, o.values, static_cast<int>(n), &Row::fd, 2)});
  return out;
}

/// Pictures of the first seed by method and number of steps, on the same noise and classes everywhere.
struct Pictures {
  std::vector<std::string> methods;        ///< that have any
  std::vector<Tensor<float>> images = {};  ///< by method, then number of steps; undefined where there is none
  Shape shape = {};                        ///< of one that is defined
};
Pictures pictures(const StudyOptions& o, const std::vector<Description>& methods) {
  Pictures out;
  for (const Description& m : methods) {
    std::vector<Tensor<float>> found;
    bool any = false;
    for (const std::int64_t n : o.steps) {
      const auto path = picture_file(o, o.first_seed, m.name + suffix_of(o.guidance.front(), {}), static_cast<int>(n));
      found.push_back(std::filesystem::exists(path) ? io::read_npy<float>(path) : Tensor<float>());
      if (found.back().defined()) any = true, out.shape = found.back().shape();
    }
    if (!any) continue;
    out.methods.push_back(m.title);
    out.images.insert(out.images.end(), found.begin(), found.end());
  }
  return out;
}
/// Rows are methods, groups of columns numbers of steps.
std::string picture(const StudyOptions& o, const Pictures& p) {
  const std::int64_t each = std::min<std::int64_t>(6, p.shape[0]);
  const auto cells = static_cast<std::int64_t>(p.images.size());
  auto all = Tensor<float>::full(p.shape.with(0, cells * each), 1.0f);
  for (std::int64_t i = 0; i < cells; ++i)
    if (const auto& images = p.images[static_cast<std::size_t>(i)]; images.defined())
      all.slice(i * each, (i + 1) * each).copy_from(images.slice(0, each));
  report::GridOptions grid;
  for (const std::int64_t n : o.steps) grid.column_captions.push_back(steps_text(n));
  grid.row_captions = p.methods;
  grid.columns = static_cast<int>(each) * static_cast<int>(o.steps.size());
  grid.group = static_cast<int>(each);
  grid.scale = 1;
  return report::image_grid(all, grid);
}

/// Any two methods and numbers of steps on one noise; first the first method above the last, in the most steps.
std::string strip(const StudyOptions& o, const Pictures& p, const fashion::Dataset& data) {
  report::StripOptions s{.title = "Pictures by two methods from the same noise"};
  const std::int64_t n = p.shape[0];
  for (std::int64_t i = 0; i < n; ++i)
    s.columns.push_back(data.words.class_name(static_cast<std::int32_t>(i % data.classes())));
  std::vector<Tensor<float>> rows;
  for (std::size_t i = 0; i < p.images.size(); ++i) {
    if (!p.images[i].defined()) continue;
    s.rows.push_back(p.methods[i / o.steps.size()] + ", " + steps_text(o.steps[i % o.steps.size()]));
    if (i < o.steps.size()) s.above = static_cast<int>(rows.size());
    rows.push_back(p.images[i]);
  }
  if (rows.size() < 2) return {};
  s.below = static_cast<int>(rows.size()) - 1;
  Tensor<float> all(p.shape.with(0, n * static_cast<std::int64_t>(rows.size())));
  for (std::size_t i = 0; i < rows.size(); ++i)
    all.slice(static_cast<std::int64_t>(i) * n, static_cast<std::int64_t>(i + 1) * n).copy_from(rows[i]);
  return report::image_strip(all, s);
}

/// A point of a curve: where, and what was measured.
struct Point {
  double x;
  metrics::Interval y;
};
/// Of more than ten curves: the teacher's, TSCD's and the six best on average keep their colours.
void mute_the_rest(std::vector<report::PlotSeries>& series, bool high_is_good) {
  if (series.size() <= 10) return;
  std::vector<std::pair<double, report::PlotSeries*>> order;
  for (report::PlotSeries& s : series) {
    if (s.dashed || s.name == "tscd") continue;
    const double mean = std::accumulate(s.y.begin(), s.y.end(), 0.0) / static_cast<double>(s.y.size());
    order.emplace_back(high_is_good ? -mean : mean, &s);
  }
  std::sort(order.begin(), order.end());
  for (std::size_t i = 6; i < order.size(); ++i) order[i].second->muted = true;
}
/// A curve for each method: `points(method)` by rising x.
template <class Points>
std::string plot(const std::vector<Description>& methods, report::PlotOptions options, Points&& points,
                 bool high_is_good = false) {
  std::vector<report::PlotSeries> series;
  for (const Description& method : methods) {
    report::PlotSeries s{.name = method.name, .markers = true};
    s.dashed = !method.trained;
    bool intervals = true;
    for (const auto& [x, y] : points(method)) {
      if (!std::isfinite(x) || !std::isfinite(y.estimate)) continue;
      s.x.push_back(x);
      s.y.push_back(y.estimate);
      s.low.push_back(y.low);
      s.high.push_back(y.high);
      intervals = intervals && std::isfinite(y.low) && (!options.log_y || y.low > 0);
    }
    if (!intervals) s.low.clear(), s.high.clear();
    if (!s.x.empty()) series.push_back(std::move(s));
  }
  if (series.empty()) return {};
  mute_the_rest(series, high_is_good);
  options.height = 400;
  return report::line_plot(series, options);
}
/// Quality against sampling steps.
std::string by_steps(const StudyOptions& o, const std::vector<Description>& methods, const Results& results, Measure m,
                     const std::string& title, const std::string& unit, bool log_y) {
  report::PlotOptions options{.title = title, .x_label = "sampling steps", .y_label = unit, .log_x = true};
  options.log_y = log_y;
  options.x_ticks.assign(o.steps.begin(), o.steps.end());
  const auto points = [&](const Description& method) {
    std::vector<Point> out;
    for (const std::int64_t n : o.steps)
      out.push_back(
          {static_cast<double>(n), results.mean(method.name, method.samplers.front(), static_cast<int>(n), m)});
    return out;
  };
  return plot(methods, options, points, m == &Row::agreement);
}
/// Frechet distance against what a sample costs.
std::string by_cost(const StudyOptions& o, const std::vector<Description>& methods, const Results& results) {
  const report::PlotOptions options{.title = "Frechet distance by cost",
                                    .x_label = "multiply-adds of a sample, millions",
                                    .y_label = "FD (real images: 1.10)",
                                    .log_x = true,
                                    .log_y = true};
  return plot(methods, options, [&](const Description& method) {
    std::vector<Point> out;
    for (const std::int64_t n : o.steps) {
      const auto of = [&](Measure m) {
        return results.mean(method.name, method.samplers.front(), static_cast<int>(n), m);
      };
      out.push_back({1e-6 * of(&Row::sample_multiply_adds).estimate, of(&Row::fd)});
    }
    return out;
  });
}
/// Quality against guidance, trained in or sampled with, at `steps` steps.
std::string by_guidance(const StudyOptions& o, const std::vector<Description>& methods, const Results& results,
                        int steps, Measure m) {
  const bool distance = m == &Row::fd;
  std::vector<double> guidance = o.guidance;
  std::sort(guidance.begin(), guidance.end());
  report::PlotOptions options{
      .title = (distance ? "Frechet distance, " : "Agreement, ") + std::to_string(steps) + count_word(steps),
      .x_label = "guidance",
      .y_label = distance ? "FD (real images: 1.10)" : "agreement, %"};
  options.log_y = distance;
  options.x_ticks = guidance;
  return plot(
      methods, options,
      [&](const Description& method) {
        std::vector<Point> out;
        if (method.guidance != Guidance::none)
          for (const double g : guidance)
            out.push_back({g, results.at(g).mean(method.name, method.samplers.front(), steps, m)});
        return out;
      },
      !distance);
}

}  // namespace

std::string markdown_tables(const StudyOptions& o, const std::vector<Description>& methods, const Results& results) {
  std::string out;
  for (const auto& [title, table] : tables(o, methods, results))
    out += "### " + title + "\n\n" + markdown(table) + "\n";
  return out;
}

void write_study(const StudyOptions& o, const std::vector<Description>& methods, const Results& all) {
  const Results results = all.at(o.guidance.front());
  const auto file = [&](const char* name) { return (o.base.out / name).string(); };
  save_rows(file("compare.csv"), all.rows);
  std::string lines;
  for (const Row& r : all.rows) {
    std::string line;
    for (const auto& [name, value] : metric_row(r))
      line += (line.empty() ? "{" : ", ") + io::json_string(name) + ": " + value.json();
    lines += line + "}\n";
  }
  io::atomic_write(file("compare.jsonl"), lines);
  io::atomic_write(file("tables.md"),
                   budget_text(o) + "\n\n" + explanation(o) + "\n\n" + markdown_tables(o, methods, all));

  report::HtmlReport page("Few-step methods on one bench", "Fashion-MNIST, one teacher a seed, equal budgets");
  page.section("What was found", "Summary");
  page.bullets(summary(methods, results, o.steps));
  page.section("Pictures");
  const Pictures drawn = pictures(o, methods);
  if (!drawn.methods.empty()) {
    const auto image = picture(o, drawn);
    io::atomic_write(file("samples.svg"), image);
    page.drawing(strip(o, drawn, fashion::Dataset(o.base.data.string())),
                 "Two choices on the same noise; the third row is their difference. Look for methods that keep the "
                 "teacher's trajectories: beside the teacher their difference is dark, also in few steps.");
    page.drawing(
        image,
        "A row is a method, a group of columns a number of sampling steps; a place in a group is one class and "
        "one noise, the same everywhere. Look down a place: a method that replaces the trajectory draws "
        "another object of the class.");
  }
  page.section("Quality by steps", "Plots");
  page.begin_columns();
  const std::string bands =
      std::string(o.seeds > 1 ? " Bands are 95 % t-intervals over seeds." : "") +
      (methods.size() > 10 ? " In colour: the teacher, TSCD and the six that are best on average; "
                             "a dot says whose it is."
                           : "");
  const auto show = [&](const std::string& svg, const std::string& caption) {
    if (!svg.empty()) page.drawing(svg, caption + bands);
  };
  show(by_steps(o, methods, results, &Row::fd, "Frechet distance", "FD (real images: 1.10)", true), "Lower is better.");
  show(by_steps(o, methods, results, &Row::agreement, "Agreement", "agreement, %", false),
       "Higher is better; the axis does not begin at 0.");
  show(by_steps(o, methods, results, &Row::trajectory, "Trajectory error", "mean squared latent distance", true),
       "Lower is nearer to where the teacher's 50 steps end; deterministic samplers only.");
  show(by_cost(o, methods, results),
       "The same against what a sample costs: a guided teacher is evaluated twice a step.");
  page.end_columns();
  if (o.guidance.size() > 1) {
    page.section("Quality by guidance", "Guidance");
    page.begin_columns();
    for (const std::int64_t n : o.steps)
      for (const auto& [name, m] : {std::pair("fd", &Row::fd), std::pair("agreement", &Row::agreement)}) {
        const auto svg = by_guidance(o, methods, all, static_cast<int>(n), m);
        io::atomic_write(file(("guidance_" + std::string(name) + "_" + std::to_string(n) + ".svg").c_str()), svg);
        show(svg,
             "Teacher, `imf_told` and `tscd_kept` are sampled with the scale, of all others each point is a student "
             "of its own. A method that is best at one scale need not be at another.");
      }
    page.end_columns();
  }
  page.section("Tables");
  page.paragraph(budget_text(o));
  page.paragraph(explanation(o));
  for (const auto& [title, table] : tables(o, methods, all)) page.heading(title).table(table);
  page.footer("Written by hypersd_compare_methods.");
  page.save(file("report.html"));
}

}  // namespace compare
