// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <hypersd/core/error.hpp>
#include <hypersd/io/text.hpp>
#include <hypersd/report/plot_axis.hpp>
#include <hypersd/report/svg.hpp>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::report {

/// One line of a plot. Values without a position (NaN, or 0 on a logarithmic axis) leave a gap.
struct PlotSeries {
  std::string name = {};          ///< for the legend
  std::vector<double> x = {};     ///< as many as y
  std::vector<double> y = {};     ///< values
  std::vector<double> low = {};   ///< lower end of the interval at each point; empty: no band
  std::vector<double> high = {};  ///< upper end
  bool markers = false;           ///< a dot at each point
  bool dashed = false;            ///< for reference lines
  bool muted = false;             ///< thin, grey, without a legend: one of many. Its dots say its name.
};

/// Options of a plot.
struct PlotOptions {
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  bool log_x = false;
  bool log_y = false;
  bool from_zero = false;            ///< the y axis includes 0
  bool smooth = false;               ///< draws a running mean over the data as a faint line
  std::vector<double> x_ticks = {};  ///< empty: chosen
  int width = 540;                   ///< pixels at natural size; the image scales
  int height = 320;
};

namespace detail {

/// Builds the text of one plot.
class SvgPlot {
 public:
  SvgPlot(const std::vector<PlotSeries>& series, const PlotOptions& options)
      : series_(series), o_(options), x_(options.log_x), y_(options.log_y) {}

  std::string text() {
    check();
    layout_legend();
    top_ = 14.0 + (o_.title.empty() ? 0 : 22) + 20.0 * legend_rows_;
    bottom_ = o_.height - (o_.x_label.empty() ? 28.0 : 46.0);
    right_ = o_.width - 16.0;
    measure();
    double widest = 0;
    for (const auto& tick : y_.ticks()) widest = std::max(widest, 7.8 * static_cast<double>(tick.label.size()));
    left_ = 14 + widest + (o_.y_label.empty() ? 0 : 20);
    open();
    legend();
    axes();
    for (const bool muted : {true, false})  // below, then above
      for (std::size_t i = 0; i < series_.size(); ++i)
        if (series_[i].muted == muted) draw(i);
    out_ += "</svg>\n";
    return std::move(out_);
  }

 private:
  // Place of series i among those with a colour. From the ninth on colours repeat, with dots in the line and squares at
  // its points.
  [[nodiscard]] std::size_t place(std::size_t i) const {
    return static_cast<std::size_t>(std::count_if(series_.begin(), series_.begin() + static_cast<std::ptrdiff_t>(i),
                                                  [](const PlotSeries& s) { return !s.muted; }));
  }
  [[nodiscard]] bool again(std::size_t i) const { return !series_[i].muted && place(i) / 8 % 2 == 1; }
  [[nodiscard]] const char* colour(std::size_t i) const {
    if (series_[i].muted) return "#9ca3af";
    static constexpr std::array<const char*, 8> palette = {"#3b82f6", "#f59e0b", "#10b981", "#ef4444",
                                                           "#8b5cf6", "#06b6d4", "#ec4899", "#65a30d"};
    return palette[place(i) % palette.size()];
  }
  void check() const {
    require<OptionError>(o_.width >= 160 && o_.height >= 120 && o_.width <= 10000 && o_.height <= 10000,
                         "plot: a size of ", o_.width, " x ", o_.height, " pixels");
    for (const PlotSeries& s : series_)
      require<OptionError>(
          s.x.size() == s.y.size() && s.low.size() == s.high.size() && (s.low.empty() || s.low.size() == s.y.size()),
          "plot: series ", io::in_quotes(s.name), " has ", s.x.size(), " x, ", s.y.size(), " y, ", s.low.size(),
          " low and ", s.high.size(), " high values");
  }
  void measure() {
    for (const PlotSeries& s : series_) {
      for (std::size_t i = 0; i < s.x.size(); ++i) {
        if (!x_.shows(s.x[i])) continue;
        x_.include(s.x[i]);
        y_.include(s.y[i]);
        if (!s.low.empty()) y_.include(s.low[i]), y_.include(s.high[i]);
      }
    }
    if (o_.from_zero) y_.include(0);
    x_.close(o_.x_ticks.empty() ? 0.0 : 0.04, 8, o_.x_ticks);
    y_.close(0.06, 6);
  }
  [[nodiscard]] double px(double v) const { return left_ + x_.position(v) * (right_ - left_); }
  [[nodiscard]] double py(double v) const { return bottom_ - y_.position(v) * (bottom_ - top_); }

  void open() {
    out_ = svg_open("plot", o_.width, o_.height, o_.title);
    if (!o_.title.empty()) put_text(14, 22, o_.title, "font-size=\"14\" font-weight=\"600\"");
  }
  void put_text(double x, double y, const std::string& text, const std::string& attributes) {
    out_ += svg_text(x, y, text, attributes);
  }
  void line(double x0, double y0, double x1, double y1, const std::string& attributes) {
    out_ += "<line x1=\"" + io::fixed(x0, 1) + "\" y1=\"" + io::fixed(y0, 1) + "\" x2=\"" + io::fixed(x1, 1) +
            "\" y2=\"" + io::fixed(y1, 1) + "\" " + attributes + "/>\n";
  }
  static bool named(const PlotSeries& s) { return !s.name.empty() && !s.muted; }
  // Legend entries from left to right, in as many rows as they need.
  void layout_legend() {
    legend_at_.clear();
    double x = 14;
    int row = 0;
    for (const PlotSeries& s : series_) {
      const double width = named(s) ? 40 + svg_text_width(s.name, 13.5) : 0;
      if (x > 14 && x + width > o_.width - 10) x = 14, ++row;
      legend_at_.emplace_back(x, row);
      x += width;
      if (named(s)) legend_rows_ = row + 1;
    }
  }
  void legend() {
    const double first = o_.title.empty() ? 18 : 42;
    for (std::size_t i = 0; i < series_.size(); ++i) {
      if (!named(series_[i])) continue;
      const double x = legend_at_[i].first, y = first + 20.0 * legend_at_[i].second;
      line(x, y - 4, x + 18, y - 4, stroke(i, 2.5));
      put_text(x + 23, y, series_[i].name, "");
    }
  }
  [[nodiscard]] std::string stroke(std::size_t i, double width) const {
    return std::string("fill=\"none\" stroke=\"") + colour(i) + "\" stroke-width=\"" +
           io::compact(series_[i].muted ? width / 2 : width) + "\" stroke-linejoin=\"round\" stroke-linecap=\"round\"" +
           (series_[i].dashed ? " stroke-dasharray=\"6 5\""
            : again(i)        ? " stroke-dasharray=\"1 4\""
                              : "");
  }
  void axes() {
    for (const auto& tick : y_.ticks()) {
      const double y = py(tick.value);
      line(left_, y, right_, y, "stroke=\"currentColor\" stroke-opacity=\".13\"");
      put_text(left_ - 7, y + 4, tick.label, "class=\"soft\" text-anchor=\"end\"");
    }
    for (const auto& tick : x_.ticks()) {
      const double x = px(tick.value);
      line(x, bottom_, x, bottom_ + 4, "stroke=\"currentColor\" stroke-opacity=\".5\"");
      put_text(x, bottom_ + 18, tick.label, "class=\"soft\" text-anchor=\"middle\"");
    }
    line(left_, bottom_, right_, bottom_, "stroke=\"currentColor\" stroke-opacity=\".5\"");
    if (!o_.x_label.empty())
      put_text((left_ + right_) / 2, o_.height - 9.0, o_.x_label, "class=\"soft\" text-anchor=\"middle\"");
    if (!o_.y_label.empty())
      put_text(0, 0, o_.y_label,
               "class=\"soft\" text-anchor=\"middle\" transform=\"translate(17 " + io::fixed((top_ + bottom_) / 2, 1) +
                   ") rotate(-90)\"");
  }

  using Points = std::vector<std::pair<double, double>>;  // in pixels

  // Runs of neighbouring points that both axes show.
  [[nodiscard]] std::vector<Points> runs(const std::vector<double>& x, const std::vector<double>& y) const {
    std::vector<Points> out(1);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x_.shows(x[i]) && y_.shows(y[i])) {
        out.back().emplace_back(px(x[i]), py(y[i]));
      } else if (!out.back().empty()) {
        out.emplace_back();
      }
    }
    if (out.back().empty()) out.pop_back();
    return out;
  }
  // At most four points for each column of pixels: first, lowest, highest, last.
  static Points thinned(const Points& points) {
    if (points.size() < 1200) return points;
    Points out;
    for (std::size_t begin = 0; begin < points.size();) {
      std::size_t end = begin, low = begin, high = begin;
      while (end < points.size() && std::floor(points[end].first) == std::floor(points[begin].first)) {
        if (points[end].second < points[low].second) low = end;
        if (points[end].second > points[high].second) high = end;
        ++end;
      }
      std::array<std::size_t, 4> keep = {begin, low, high, end - 1};
      std::sort(keep.begin(), keep.end());
      for (std::size_t k = 0; k < keep.size(); ++k)
        if (k == 0 || keep[k] != keep[k - 1]) out.push_back(points[keep[k]]);
      begin = end;
    }
    return out;
  }
  static std::string path(const Points& points, const char* first = "M") {
    std::string out;
    for (std::size_t i = 0; i < points.size(); ++i)
      out += (i ? "L" : first) + io::fixed(points[i].first, 1) + " " + io::fixed(points[i].second, 1);
    return out;
  }
  void polyline(const std::vector<Points>& runs, const std::string& attributes) {
    for (const Points& run : runs) {
      const Points points = thinned(run);
      // A single point would be invisible as a line.
      out_ += "<path d=\"" + path(points) + (points.size() == 1 ? "h.1" : "") + "\" " + attributes + "/>\n";
    }
  }
  // Running mean over about a twenty-fifth of the curve.
  static std::vector<double> running_mean(const std::vector<double>& y) {
    const std::size_t reach = y.size() / 50;
    std::vector<double> sum(y.size() + 1), count(y.size() + 1), out(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const bool good = std::abs(y[i]) <= 1e300;
      sum[i + 1] = sum[i] + (good ? y[i] : 0);
      count[i + 1] = count[i] + (good ? 1 : 0);
    }
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t begin = i - std::min(i, reach), end = std::min(i + reach + 1, y.size());
      out[i] = (sum[end] - sum[begin]) / (count[end] - count[begin]);
    }
    return out;
  }
  void draw(std::size_t index) {
    const PlotSeries& s = series_[index];
    if (!s.low.empty() && !s.muted) band(s, colour(index));
    if (o_.smooth && !s.dashed && s.y.size() > 50) {
      polyline(runs(s.x, s.y), stroke(index, 1) + " stroke-opacity=\".3\"");
      polyline(runs(s.x, running_mean(s.y)), stroke(index, 2));
    } else {
      polyline(runs(s.x, s.y), stroke(index, 2));
    }
    if (!s.markers) return;
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (!x_.shows(s.x[i]) || !y_.shows(s.y[i])) continue;
      std::string tip = (s.name.empty() ? "" : s.name + ": ") + io::compact(s.x[i], 6) + ", " + io::compact(s.y[i]);
      if (!s.low.empty()) tip += " (" + io::compact(s.low[i]) + " to " + io::compact(s.high[i]) + ")";
      const double x = px(s.x[i]), y = py(s.y[i]);
      const std::string mark =
          again(index)
              ? "rect x=\"" + io::fixed(x - 3, 1) + "\" y=\"" + io::fixed(y - 3, 1) + "\" width=\"6\" height=\"6"
              : "circle cx=\"" + io::fixed(x, 1) + "\" cy=\"" + io::fixed(y, 1) + "\" r=\"" + (s.muted ? "2" : "3.5");
      out_ += "<" + mark + "\" fill=\"" + colour(index) + "\"><title>" + io::xml_text(tip) + "</title></" +
              mark.substr(0, mark.find(' ')) + ">\n";
    }
  }
  void band(const PlotSeries& s, const std::string& colour) {
    Points upper, lower;
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (!x_.shows(s.x[i]) || !y_.shows(s.low[i]) || !y_.shows(s.high[i])) continue;
      upper.emplace_back(px(s.x[i]), py(s.high[i]));
      lower.emplace_back(px(s.x[i]), py(s.low[i]));
    }
    if (upper.size() < 2) return;
    std::reverse(lower.begin(), lower.end());
    out_ += "<path d=\"" + path(upper) + path(lower, "L") + "Z\" fill=\"" + colour + "\" fill-opacity=\".16\"/>\n";
  }

  const std::vector<PlotSeries>& series_;
  const PlotOptions& o_;
  PlotAxis x_, y_;
  double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0;
  int legend_rows_ = 0;
  std::vector<std::pair<double, int>> legend_at_;
  std::string out_;
};

}  // namespace detail

/// A line plot as SVG text, for a file or a page, on light and dark background. Throws OptionError for series whose
/// lengths differ.
inline std::string line_plot(const std::vector<PlotSeries>& series, const PlotOptions& options = {}) {
  return detail::SvgPlot(series, options).text();
}

}  // namespace hypersd::report
