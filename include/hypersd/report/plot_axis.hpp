// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/io/text.hpp>
#include <limits>
#include <string>
#include <vector>

namespace hypersd::report {

/// One axis of a plot: a linear or logarithmic range with its ticks, mapped to [0, 1].
class PlotAxis {
 public:
  /// A mark on the axis and its text.
  struct Tick {
    double value;
    std::string label;
  };

  explicit PlotAxis(bool log = false) : log_(log) {}

  /// Whether a value can be shown: finite (at most 1e300), and positive on a logarithmic axis.
  [[nodiscard]] bool shows(double v) const { return std::abs(v) <= 1e300 && (!log_ || v > 0); }
  /// Extends the range to a value, unless it cannot be shown.
  void include(double v) {
    if (!shows(v)) return;
    low_ = std::min(low_, v);
    high_ = std::max(high_, v);
  }
  /// Sets the ends and the ticks, after all values are included. `margin` is the relative margin at each end; `wanted`,
  /// if not empty, are the ticks.
  void close(double margin, int about, const std::vector<double>& wanted = {}) {
    for (const double v : wanted) include(v);
    if (low_ > high_) low_ = log_ ? 0.1 : 0.0, high_ = 1.0;
    double a = in(low_), b = in(high_);
    const double least = log_ ? 0.05 : std::max(1e-12, std::abs(a) * 1e-6);
    if (b - a < least) {
      const double half = log_ ? 0.3 : (a == 0 ? 0.5 : std::abs(a) * 0.1);
      a -= half, b += half;
    }
    const double room = (b - a) * margin;
    a_ = a - room;
    b_ = b + room;
    if (!log_ && low_ >= 0 && a_ < 0) a_ = 0;
    if (!wanted.empty()) {
      for (const double v : wanted)
        if (shows(v)) ticks_.push_back({v, io::compact(v, 6)});
    } else if (log_) {
      log_ticks();
    } else {
      linear_ticks(about);
    }
  }
  /// Position in [0, 1] of a value that the axis shows.
  [[nodiscard]] double position(double v) const { return (in(v)-a_) / (b_ - a_); }
  [[nodiscard]] const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  [[nodiscard]] double in(double v) const { return log_ ? std::log10(v) : v; }

  // Steps of 1, 2 or 5 times a power of ten.
  void linear_ticks(int about) {
    const double raw = (b_ - a_) / about;
    const double power = std::pow(10.0, std::floor(std::log10(raw)));
    const double share = raw / power;
    const double step = (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10) * power;
    if (!std::isfinite(step) || !(step > 0)) return;
    const bool thousands = step >= 1000 && step < 1e9;
    for (double i = std::ceil(a_ / step - 1e-9); i * step <= b_ + step * 1e-9 && ticks_.size() < 50; ++i) {
      const double v = i * step + 0.0;  // turns -0 into 0
      ticks_.push_back({v, thousands && v != 0 ? io::compact(v / 1000, 6) + "k" : io::compact(v, 6)});
    }
  }
  // Powers of ten, with values between them if they are few.
  void log_ticks() {
    const double decades = b_ - a_;
    const int stride = std::max(1, static_cast<int>(decades / 8));
    for (int p = static_cast<int>(std::floor(a_)); p <= static_cast<int>(std::ceil(b_)); ++p) {
      for (const double m : {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0}) {
        const bool shown = m == 1.0 ? p % stride == 0 : decades < (m == 2.0 || m == 5.0 ? 2.5 : 1.2);
        const double at = p + std::log10(m);
        if (shown && at >= a_ - 1e-9 && at <= b_ + 1e-9) {
          const double v = m * std::pow(10.0, p);
          ticks_.push_back({v, io::compact(v, 6)});
        }
      }
    }
  }

  bool log_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  double a_ = 0, b_ = 1;
  std::vector<Tick> ticks_;
};

}  // namespace hypersd::report
