// SPDX-License-Identifier: Apache-2.0
/// Every method on a density in the plane, where the truth is known: samples, trajectories and errors as pictures.
#include "ten_pictures.hpp"

#include <hypersd/io/csv.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/report/html_report.hpp>
#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/plot.hpp>
#include <hypersd/report/progress.hpp>

#include <common/program.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace {

using namespace playground;

struct Options {
  std::string density = "ring", process = "ddpm", out = "runs/playground", device = "cpu";
  std::vector<std::string> methods;
  std::vector<int> steps = {1, 2, 4, 8};
  std::uint64_t seed = 0;
  std::int64_t updates = 1600, teacher_updates = 3000, samples = 1000;
  bool quick = false, force = false, ten_pictures = false;
};

Options parse(int argc, char** argv, const std::vector<std::string>& known) {
  Options o;
  CLI::App app{
      "Trains every few-step method on a density in the plane and draws samples, trajectories and errors.\n"
      "Writes samples.svg, trajectories.svg, playground.csv and report.html to a folder.",
      "hypersd_playground"};
  app.add_option("--density", o.density, "what the data look like")
      ->check(CLI::IsMember({"blobs", "ring", "moons"}))
      ->capture_default_str();
  app.add_option("--process", o.process, "ddpm: Stable Diffusion's noise table; flow: a rectified flow")
      ->check(CLI::IsMember({"ddpm", "flow"}))
      ->capture_default_str();
  app.add_option("--methods", o.methods, "which, by name (default: all)")->delimiter(',')->check(CLI::IsMember(known));
  app.add_option("--steps", o.steps, "numbers of sampling steps")
      ->delimiter(',')
      ->check(CLI::Range(1, 40))
      ->capture_default_str();
  app.add_option("--updates", o.updates, "training updates of each method")
      ->check(CLI::Range(8, 1000000))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "seed of every random number")->capture_default_str();
  program::add_device(app, o.device);
  app.add_option("--out", o.out, "folder; made if missing")->capture_default_str();
  app.add_flag("--force", o.force, "write into a folder that holds results already");
  app.add_flag("--ten-pictures", o.ten_pictures,
               "instead: explains TSCD in ten pictures (two minutes), ten_pictures.html and .md");
  app.add_flag("--quick", o.quick, "a tenth of the training");
  program::parse(app, argc, argv);
  if (o.ten_pictures && app.count("--updates") == 0) o.updates = 8000;  // until four and eight steps end on the data
  if (o.quick) o.updates /= 10, o.teacher_updates /= 5, o.samples = 500;
  return o;
}

/// Trajectories of a few points: the teacher's fine path in grey below a student's k jumps. [Hyper-SD Figure 2,
/// redrawn]
template <Device D, diffusion::DiffusionProcess Pr>
std::string trajectories(const World<D, Pr>& w, const std::vector<std::pair<std::string, Students<D>>>& students,
                         const std::vector<int>& steps) {
  const auto noise = ops::normal<float>(Shape{14, 2}, stream(w.seed, "trajectory.noise"));
  const auto fine = path(w, w.teacher, noise, 40);
  std::vector<Canvas> cells;
  report::GridOptions grid;
  for (const auto& [name, student] : students) {
    grid.row_captions.push_back(name);
    for (const int n : steps) {
      Canvas c(180);
      c.dots(w.data(600, 1u << 20), Canvas::grey, 0.12);
      for (std::size_t i = 0; i + 1 < fine.size(); ++i) c.lines(fine[i], fine[i + 1], Canvas::grey, 0.5);
      const auto coarse = path(w, student_for(student, n), noise, n);
      for (std::size_t i = 0; i + 1 < coarse.size(); ++i) c.lines(coarse[i], coarse[i + 1], Canvas::blue, 0.5);
      for (std::size_t i = 1; i < coarse.size(); ++i) c.dots(coarse[i], Canvas::blue, 0.9, 1.6);
      c.dots(fine.back(), Canvas::orange, 0.9, 1.6);
      cells.push_back(c);
    }
  }
  for (const int n : steps) grid.column_captions.push_back(std::to_string(n) + (n == 1 ? " step" : " steps"));
  grid.columns = static_cast<int>(steps.size());
  grid.scale = 1;
  return report::image_grid(stack(cells), grid);
}

template <Device D, diffusion::DiffusionProcess Pr>
void explain(const Options& o) {
  const std::string page = (std::filesystem::path(o.out) / "ten_pictures.html").string();
  io::ensure_writable_folder(o.out);
  require<OptionError>(o.force || !std::filesystem::exists(page), "folder ", io::in_quotes(o.out),
                       " holds the ten pictures already: choose another, or --force to replace them");
  report::TerminalProgress terminal;
  terminal({"training", 0, 2, {}, "teacher"});
  const World<D, Pr> w(o.density, o.seed, o.teacher_updates, o.updates);
  terminal({"training", 1, 2, {}, "students"});
  const TenPictures<D, Pr> pictures(w);
  terminal({"training", 2, 2, {}, {}});
  write_ten_pictures(pictures.draw(), o.out,
                     "Density: " + o.density + ", process: " + Pr::name() + ", seed " + std::to_string(o.seed));
  std::printf("report: %s\n", page.c_str());
}

template <Device D, diffusion::DiffusionProcess Pr>
void execute(const Options& o) {
  if (o.ten_pictures) return explain<D, Pr>(o);
  std::vector<Method<D, Pr>> methods = all_methods<D, Pr>();
  if (!o.methods.empty())
    std::erase_if(methods, [&](const Method<D, Pr>& m) {
      return std::find(o.methods.begin(), o.methods.end(), m.name) == o.methods.end();
    });
  require<OptionError>(!methods.empty(), "none of these methods runs on process '", o.process, "'");
  const auto file = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  io::ensure_writable_folder(o.out);
  require<OptionError>(o.force || !std::filesystem::exists(file("report.html")), "folder ", io::in_quotes(o.out),
                       " holds results already: choose another, or --force to replace them");
  report::TerminalProgress terminal;
  const auto count = static_cast<std::int64_t>(methods.size());
  terminal({"training", 0, count + 1, {}, {}});
  const World<D, Pr> w(o.density, o.seed, o.teacher_updates, o.updates);
  const auto data = w.data(o.samples, 1u << 21);
  const auto noise = ops::normal<float>(Shape{o.samples, 2}, stream(o.seed, "evaluation.noise"));
  const auto fine = path(w, w.teacher, noise, 40);

  std::vector<Canvas> cells;
  report::GridOptions grid;
  report::ReportTable distances, gaps;
  distances.columns = gaps.columns = {{"Method"}};
  for (const int n : o.steps) {
    const std::string caption = std::to_string(n) + (n == 1 ? " step" : " steps");
    distances.columns.push_back({caption, report::Best::Lowest});
    gaps.columns.push_back({caption, report::Best::Lowest});
    grid.column_captions.push_back(caption);
  }
  std::string csv = io::csv_line({"method", "steps", "energy_distance", "trajectory_error"});
  std::vector<std::pair<std::string, Students<D>>> followed;
  std::vector<ErrorCurve> curves;
  for (std::int64_t m = 0; m < count; ++m) {
    const Method<D, Pr>& method = methods[static_cast<std::size_t>(m)];
    terminal({"training", m + 1, count + 1, {}, method.name});
    const Students<D> students = method.train(w);
    report::ReportRow distance{{method.title}, method.name == "teacher"}, gap{{method.title}, method.name == "teacher"};
    grid.row_captions.push_back(method.name);
    for (const int n : o.steps) {
      Canvas c;
      c.dots(data, Canvas::grey, 0.10);
      if (method.takes(n)) {
        const Net<D>& student = student_for(students, n);
        const auto x = method.draw(student, noise, n);
        const double e = energy_distance(x, data),
                     t = mean_gap(method.policies ? x : path(w, student, noise, n).back(), fine.back());
        c.dots(x, Canvas::blue, 0.28);
        distance.cells.emplace_back(e, 4);
        gap.cells.emplace_back(t, 3);
        csv += io::csv_line(std::vector<std::string>{method.name, std::to_string(n), io::number(e), io::number(t)});
      } else {
        distance.cells.emplace_back("");
        gap.cells.emplace_back("");
      }
      cells.push_back(c);
    }
    distances.rows.push_back(distance);
    gaps.rows.push_back(gap);
    const auto one_of = [&](std::initializer_list<const char*> names) {
      return std::find(names.begin(), names.end(), method.name) != names.end();
    };
    if (one_of({"teacher", "tcd", "tscd", "pd", "lmd", "scd4"})) followed.emplace_back(method.name, students);
    if (one_of({"teacher", "cd", "tcd", "tscd", "scd", "meanflow", "lmd", "tvm"}))
      curves.push_back(error_along_t(w, method.name == "teacher" ? "score-based (teacher)" : method.name,
                                     student_for(students, 1), fine));
  }
  terminal({"training", count + 1, count + 1, {}, {}});
  grid.columns = static_cast<int>(o.steps.size());
  grid.scale = 1;
  const auto samples = report::image_grid(stack(cells), grid);
  io::atomic_write(file("samples.svg"), samples);
  io::atomic_write(file("playground.csv"), csv);

  report::HtmlReport page("Few-step methods in the plane",
                          "Density: " + o.density + ", process: " + Pr::name() + ", seed " + std::to_string(o.seed));
  page.section("Samples");
  page.paragraph("Grey: data. Blue: " + std::to_string(o.samples) +
                 " samples. A row is a method, a column a number of steps.");
  page.drawing(samples);
  if (!followed.empty()) {
    const auto lines = trajectories(w, followed, o.steps);
    io::atomic_write(file("trajectories.svg"), lines);
    page.section("Trajectories");
    page.paragraph(
        "Grey: the teacher's path in 40 steps, which ends in the orange dots. Blue: jumps of the student. A "
        "student that keeps trajectories ends in the same place, segment by segment.");
    page.drawing(lines);
  }
  if (!curves.empty()) {
    std::vector<report::PlotSeries> series;
    for (const ErrorCurve& c : curves) series.push_back({.name = c.name, .x = c.t, .y = c.error});
    page.section("Error along t");
    page.paragraph(
        "How far the end that one evaluation names is from where the trajectory ends, from a point of the "
        "trajectory at time t. A score-based model names the mean of all data that may have been noised to this "
        "point, a consistency model the end of this trajectory.");
    page.drawing(report::line_plot(series, {.title = "Error of the named end", .x_label = "t", .from_zero = true}));
  }
  page.section("Measures");
  page.heading("Energy distance to the data").table(distances);
  page.heading("Mean distance of deterministic samples from the teacher's 40 steps").table(gaps);
  page.footer("Written by hypersd_playground.");
  page.save(file("report.html"));
  std::printf("report: %s\n", file("report.html").c_str());
}

template <Device D>
void execute_process(const Options& o) {
  if (o.process == "flow")
    execute<D, diffusion::Flow>(o);
  else
    execute<D, diffusion::StableDiffusion>(o);
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<std::string> names;
  for (const auto& m : all_methods<Cpu, diffusion::StableDiffusion>()) names.push_back(m.name);
  for (const auto& m : all_methods<Cpu, diffusion::Flow>())
    if (std::find(names.begin(), names.end(), m.name) == names.end()) names.push_back(m.name);
  const Options o = parse(argc, argv, names);
  program::on_gpu(o.device) ? execute_process<program::Gpu>(o) : execute_process<Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_playground");
}
