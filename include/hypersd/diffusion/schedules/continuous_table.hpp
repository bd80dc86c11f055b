// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/diffusion/noise_table.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <memory>
#include <vector>

namespace hypersd::diffusion {

/// A table's process in continuous time, for objectives that differentiate by time: networks that were trained on the
/// table are used as they are. The time is the angle atan(sigma / alpha), so that x_t = cos t x0 + sin t eps, from that
/// of entry 0 to that of the last. Networks are given the table's index: exact at the entries, and between them
/// ln alphas_cumprod is interpolated by cubics whose derivative is continuous.
///
///   using Sd = Process<ContinuousTable<ScaledLinear>, Epsilon>;   // students of Stable Diffusion in continuous time
template <TableSchedule Named = ScaledLinear>
class ContinuousTable {
  static_assert(!Named::zero_terminal_snr, "a table in continuous time needs signal at its last entry");

 public:
  static constexpr const char* name = "continuous_table";
  static constexpr bool discrete = false, straight = false, variance_preserving = true;

  /// Throws OptionError for fewer than five entries.
  ContinuousTable(const Named& named = {}) {  // NOLINT(google-explicit-constructor): a table is a schedule
    const NoiseTable levels = noise_table(named);
    const int n = levels.size();
    require<OptionError>(n >= 5, "continuous table: ", n, " entries, at least 5 needed");
    auto table = std::make_shared<Table>();
    for (int i = 0; i < n; ++i) table->logs.push_back(-levels.log_alphas_cumprod(i));
    const auto& v = table->logs;
    for (int i = 0; i < n; ++i) {
      // The derivative of the polynomial through five entries.
      const int first = std::clamp(i - 2, 0, n - 5);
      double slope = 0;
      for (int j = 0; j < 5; ++j) slope += weights(i - first)[j] * v[static_cast<std::size_t>(first + j)] / 12;
      table->slopes.push_back(slope);
    }
    table_ = std::move(table);
  }

  [[nodiscard]] Time clean() const { return 0; }
  [[nodiscard]] Time first() const { return angle(0); }
  [[nodiscard]] Time last() const { return angle(size() - 1); }
  [[nodiscard]] Level level(Time t) const {
    check_time("continuous table", t, 0, last() * (1 + 1e-12));
    return {std::cos(t), std::sin(t), -std::sin(t), std::cos(t)};
  }
  /// atan(e^-lambda).
  [[nodiscard]] Time time_at(double lambda) const { return not_past(std::atan(std::exp(-lambda)), last()); }
  /// sin(t - s) sin(t + s) / cos^2 s.
  [[nodiscard]] double renoise_variance(Time s, Time t) const {
    return std::sin(t - s) * std::sin(t + s) / (std::cos(s) * std::cos(s));
  }
  [[nodiscard]] Time earlier(Time t, double share) const { return share * t; }
  /// Time at the share u in [0, 1] of the way: that of index u T - 1, at least 0, so that equal parts begin and end at
  /// the trailing grid of the table.
  [[nodiscard]] Time at(double u) const { return angle(std::clamp(u * size() - 1, 0.0, size() - 1.0)); }
  [[nodiscard]] Times grid(int n) const { return grid_of(*this, n); }
  [[nodiscard]] double starting_scale(Time) const { return 1; }

  /// The table's index at time t; 0 below the first entry's.
  [[nodiscard]] double network_time(Time t) const {
    const auto& v = table_->logs;
    const double log = -2 * std::log(std::cos(t));
    if (log <= v.front()) return 0;
    if (log >= v.back()) return size() - 1;
    const auto upper = std::upper_bound(v.begin(), v.end(), log);
    const auto below = static_cast<double>(upper - v.begin() - 1);
    double low = below, high = below + 1, i = below + (log - *(upper - 1)) / (*upper - *(upper - 1));
    for (int step = 0; step < 50 && high - low > 1e-13; ++step) {  // Newton's method, kept in the interval
      const auto [value, slope] = interpolated(i);
      (value < log ? low : high) = i;
      const double next = i - (value - log) / slope;
      if (std::abs(next - i) < 1e-13 * (1 + i)) return next;
      i = next > low && next < high ? next : (low + high) / 2;
    }
    return i;
  }
  /// The time of index n.
  [[nodiscard]] Time process_time(double n) const { return angle(std::clamp(n, 0.0, size() - 1.0)); }
  friend bool operator==(const ContinuousTable& a, const ContinuousTable& b) {
    return a.table_ == b.table_ || a.table_->logs == b.table_->logs;
  }

 private:
  struct Table {
    std::vector<double> logs, slopes;  // -ln alphas_cumprod and its derivative by the index
  };

  /// Twelve times the weights of five points for the derivative at number `at` of them.
  static const double* weights(int at) {
    static constexpr double w[5][5] = {
        {-25, 48, -36, 16, -3}, {-3, -10, 18, -6, 1}, {1, -8, 0, 8, -1}, {-1, 6, -18, 10, 3}, {3, -16, 36, -48, 25}};
    return w[at];
  }
  [[nodiscard]] int size() const { return static_cast<int>(table_->logs.size()); }
  /// -ln alphas_cumprod at a real index with its derivative.
  [[nodiscard]] std::pair<double, double> interpolated(double i) const {
    const auto j = std::min(static_cast<std::size_t>(i), table_->logs.size() - 2);
    const double s = i - static_cast<double>(j), a = table_->logs[j], b = table_->logs[j + 1];
    const double da = table_->slopes[j], db = table_->slopes[j + 1], c = b - a;
    const double square = 3 * c - 2 * da - db, cube = da + db - 2 * c;
    return {a + s * (da + s * (square + s * cube)), da + s * (2 * square + 3 * s * cube)};
  }
  [[nodiscard]] Time angle(double i) const {
    const double log = interpolated(i).first;
    return std::atan(std::sqrt(std::expm1(log)));  // tan^2 = 1 / alphas_cumprod - 1
  }

  std::shared_ptr<const Table> table_;
};
static_assert(Schedule<ContinuousTable<>>);

}  // namespace hypersd::diffusion
