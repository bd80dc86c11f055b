// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "canvas.hpp"
#include "measures.hpp"

#include <hypersd/io/file.hpp>
#include <hypersd/report/html_report.hpp>
#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/plot.hpp>

#include <filesystem>

/// \file
/// "TSCD in ten pictures": the method from noise to few steps, drawn from networks that were trained in the plane.

namespace playground {

struct Picture {
  std::string title, text, svg;
};

/// Draws them. What does not change with the method is in grey, a student's work in blue, the truth in orange.
template <Device D, diffusion::DiffusionProcess Pr>
class TenPictures {
 public:
  /// Trains the students: TSCD's four stages, and TCD, which has a single segment from the beginning, as long as all
  /// four.
  explicit TenPictures(const World<D, Pr>& world) : w_(world), stages_(tscd_stages(world)) {
    for (const Method<D, Pr>& method : all_methods<D, Pr>())
      if (method.name == "tcd") tcd_ = method.train(world).at(1);
  }

  [[nodiscard]] std::vector<Picture> draw() const {
    return {
        {"Data become noise",
         "Each point of the data (eight blobs on a ring) moves towards one draw of noise: x_t = alpha_t x_0 + "
         "sigma_t z. At the last time nothing of the ring is left.",
         noising()},
        {"The teacher goes back",
         "A network that predicts the noise defines a velocity at each point. Followed in 40 small steps it leads "
         "every draw of noise (left) along one path (grey) to one point of the data (orange).",
         paths()},
        {"Few long steps miss",
         "The same teacher in 1, 2, 4 and 8 steps. The paths are curved, and a step goes straight: one step ends "
         "between the blobs.",
         samples({{"teacher", &w_.teacher}})},
        {"Why: a mean of many ends",
         "From each time t of a path the teacher names where the path ends. Near the data it is right. Near the "
         "noise it names the mean of all points that the noise may have come from.",
         errors({{"teacher", &w_.teacher}})},
        {"Segments",
         "TSCD cuts the time into k segments and asks for less: from a point of a path, name where the path will be "
         "at the end of its segment. Grey: the teacher's paths. Blue: the jump of a student that has not learned "
         "yet. Orange: where the jump should end. Short segments ask for little.",
         jumps(/*trained=*/false)},
        {"One update",
         "Two neighbours on a path must name the same end: the student's jump from x_t (blue) learns from the target's "
         "jump from x_t', one step of the teacher further (Eq 11, 12). After a stage the blue jumps end on the path. "
         "Each stage starts from the student of the one before.",
         jumps(/*trained=*/true)},
        {"The error falls from the data's side",
         "The end named from time t, as in the fourth picture, after each stage. A student of k = 8 is right for the "
         "last eighth of the time only, and each halving of k doubles the part in which it is right.",
         errors(all_stages())},
        {"Stage by stage",
         "Samples in one step: a jump over all of the time, which only the last stage was trained for.", one_step()},
        {"One student, any number of steps", "The last student in 1, 2, 4 and 8 steps, above the teacher's.",
         samples({{"teacher", &w_.teacher}, {"TSCD", &stages_.at(1)}})},
        {"Beside training without segments",
         "TCD learns jumps over all of the time from the beginning, for as many updates. Mean distance from the end of "
         "the teacher's path, by number of steps.",
         beside_tcd()}};
  }

 private:
  using Nets = std::vector<std::pair<std::string, const Net<D>*>>;
  static constexpr int fine = 40;  ///< steps of the teacher's path
  static constexpr std::array<int, 4> counts{1, 2, 4, 8};

  [[nodiscard]] Tensor<float> noise(std::int64_t n) const {
    return ops::normal<float>(Shape{n, 2}, stream(w_.seed, "trajectory.noise"));
  }
  [[nodiscard]] Nets all_stages() const {
    Nets out{{"teacher", &w_.teacher}};
    for (const int k : {8, 4, 2, 1}) out.emplace_back("k = " + std::to_string(k), &stages_.at(k));
    return out;
  }
  [[nodiscard]] Canvas background(int size = 200) const {
    Canvas c(size, 2.2);
    c.dots(w_.data(600, 1u << 20), Canvas::grey, 0.12);
    return c;
  }
  /// Samples of `net` above the data.
  [[nodiscard]] Canvas sampled(const Net<D>& net, int steps) const {
    const auto z = ops::normal<float>(Shape{600, 2}, stream(w_.seed, "evaluation.noise"));
    Canvas c = background();
    c.dots(path(w_, net, z, steps).back(), Canvas::blue, 0.4);
    return c;
  }
  static std::string caption(int steps) { return std::to_string(steps) + (steps == 1 ? " step" : " steps"); }
  static std::string row_of(const std::vector<Canvas>& cells, std::vector<std::string> columns,
                            std::vector<std::string> rows = {}) {
    report::GridOptions grid;
    grid.columns = static_cast<int>(columns.size());
    grid.column_captions = std::move(columns);
    grid.row_captions = std::move(rows);
    grid.scale = 1;
    return report::image_grid(stack(cells), grid);
  }

  [[nodiscard]] std::string noising() const {
    const auto x0 = w_.data(600, 1u << 20);
    const auto z = ops::normal<float>(x0.shape(), stream(w_.seed, "noising"));
    const diffusion::Times grid = w_.process().grid(4);
    std::vector<Canvas> cells;
    std::vector<std::string> columns;
    for (std::size_t i = 0; i <= grid.size(); ++i) {
      const diffusion::Time t = i == 0 ? w_.process().first() : grid[grid.size() - i];
      Canvas c(180, 3.2);
      c.dots(diffusion::add_noise(w_.process(), x0, z, diffusion::Times(600, t)), Canvas::blue, 0.4);
      cells.push_back(c);
      columns.push_back("t = " + io::compact(w_.process().network_time(t), 3));
    }
    return row_of(cells, columns);
  }
  [[nodiscard]] std::string paths() const {
    const auto x = path(w_, w_.teacher, noise(24), fine);
    std::vector<Canvas> cells;
    std::vector<std::string> columns;
    for (const int done : {0, fine / 2, fine * 3 / 4, fine}) {
      Canvas c = background();
      for (int i = 0; i < done; ++i)
        c.lines(x[static_cast<std::size_t>(i)], x[static_cast<std::size_t>(i) + 1], Canvas::grey, 0.5);
      c.dots(x[static_cast<std::size_t>(done)], done == fine ? Canvas::orange : Canvas::blue, 0.9, 1.8);
      cells.push_back(c);
      columns.push_back(done == 0 ? "noise" : caption(done));
    }
    return row_of(cells, columns);
  }
  [[nodiscard]] std::string samples(const Nets& nets) const {
    std::vector<Canvas> cells;
    std::vector<std::string> columns, rows;
    for (const auto& [name, net] : nets) {
      rows.push_back(name);
      for (const int n : counts) cells.push_back(sampled(*net, n));
    }
    for (const int n : counts) columns.push_back(caption(n));
    return row_of(cells, columns, nets.size() > 1 ? rows : std::vector<std::string>{});
  }
  [[nodiscard]] std::string errors(const Nets& nets) const {
    const auto x = path(w_, w_.teacher, noise(200), fine);
    std::vector<report::PlotSeries> series;
    for (const auto& [name, net] : nets) {
      const ErrorCurve c = error_along_t(w_, name, *net, x);
      series.push_back({.name = name, .x = c.t, .y = c.error, .dashed = name == "teacher" && nets.size() > 1});
    }
    return report::line_plot(series, {.title = "Distance of the named end from the path's",
                                      .x_label = "time t of the point (0: data)",
                                      .y_label = "distance",
                                      .from_zero = true,
                                      .width = 640});
  }
  /// Jumps from the beginning of every segment, by the student before (`trained`: after) the stage.
  [[nodiscard]] std::string jumps(bool trained) const {
    const auto x = path(w_, w_.teacher, noise(6), fine);
    const diffusion::Times grid = w_.process().grid(fine);
    std::vector<Canvas> cells;
    std::vector<std::string> columns;
    for (const int k : {8, 4, 2, 1}) {
      const Net<D>& student = trained ? stages_.at(k) : k == 8 ? w_.teacher : stages_.at(2 * k);
      Canvas c = background(240);
      for (std::size_t i = 0; i < fine; ++i) c.lines(x[i], x[i + 1], Canvas::grey, 0.6);
      for (int j = 0; j < k; ++j) {
        const auto from = static_cast<std::size_t>(j * fine / k), to = static_cast<std::size_t>((j + 1) * fine / k);
        const diffusion::Times t(6, grid[from]), end(6, j + 1 == k ? w_.process().first() : grid[to]);
        const auto f = diffusion::predict(w_.process(), student, x[from].template to<D>(), t, Unconditional{});
        const auto named = diffusion::jump(w_.process(), x[from], f.template to<Cpu>(), t, end);
        c.lines(x[from], named, Canvas::blue, 0.6);
        c.dots(named, Canvas::blue, 0.9, 2);
        c.dots(x[to], Canvas::orange, 0.9, 1.6);
      }
      cells.push_back(c);
      columns.push_back("k = " + std::to_string(k));
    }
    return row_of(cells, columns);
  }
  [[nodiscard]] std::string one_step() const {
    std::vector<Canvas> cells;
    std::vector<std::string> columns;
    for (const auto& [name, net] : all_stages()) {
      cells.push_back(sampled(*net, 1));
      columns.push_back(name);
    }
    return row_of(cells, columns);
  }
  [[nodiscard]] std::string beside_tcd() const {
    const auto z = noise(400);
    const auto ends = path(w_, w_.teacher, z, fine).back();
    std::vector<report::PlotSeries> series;
    for (const auto& [name, net] : Nets{{"teacher", &w_.teacher}, {"TCD", &tcd_}, {"TSCD", &stages_.at(1)}}) {
      report::PlotSeries s{.name = name, .markers = true, .dashed = name == "teacher"};
      for (const int n : counts) s.x.push_back(n), s.y.push_back(mean_gap(path(w_, *net, z, n).back(), ends));
      series.push_back(s);
    }
    return report::line_plot(series, {.title = "Distance from the end of the teacher's path",
                                      .x_label = "sampling steps",
                                      .y_label = "mean distance",
                                      .log_x = true,
                                      .from_zero = true,
                                      .x_ticks = {1, 2, 4, 8},
                                      .width = 640});
  }

  const World<D, Pr>& w_;
  Students<D> stages_;
  Net<D> tcd_;
};

/// Writes ten_pictures.html, and ten_pictures.md with its pictures in ten_pictures/, to `folder`.
inline void write_ten_pictures(const std::vector<Picture>& pictures, const std::filesystem::path& folder,
                               const std::string& what) {
  io::ensure_writable_folder((folder / "ten_pictures").string());
  report::HtmlReport page("TSCD in ten pictures", what);
  std::string text = "# TSCD in ten pictures\n\nDrawn by `bash examples/playground.sh --ten-pictures`.\n";
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const Picture& p = pictures[i];
    const std::string title = std::to_string(i + 1) + ". " + p.title,
                      image = "ten_pictures/" + std::to_string(i + 1) + ".svg";
    page.section(title, std::to_string(i + 1)).paragraph(p.text).drawing(p.svg);
    io::atomic_write((folder / image).string(), p.svg);
    text += "\n## " + title + "\n\n" + p.text + "\n\n![" + p.title + "](" + image + ")\n";
  }
  page.save((folder / "ten_pictures.html").string());
  io::atomic_write((folder / "ten_pictures.md").string(), text);
}

}  // namespace playground
