// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <hypersd/core/progress.hpp>
#include <hypersd/io/text.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace hypersd::report {

/// Options of `TerminalProgress`.
struct ProgressOptions {
  bool bar = false;               ///< redraw one line; otherwise print few whole lines
  int width = 100;                ///< columns of the terminal
  double redraw_seconds = 0.1;    ///< least time between redraws of the bar
  double line_seconds = 30;       ///< without a bar: a line at each tenth of a phase, or after this time
  double least_line_seconds = 2;  ///< ... but no more often than this
};

/// Shows progress as a bar with rate, remaining time and loss on a terminal, otherwise as a few plain lines. Copies
/// share their state, so an object is a `Progress`. Thread-safe.
class TerminalProgress {
 public:
  using Write = std::function<void(const std::string&)>;
  using Clock = std::function<double()>;  ///< seconds from any origin

  /// On stderr; a bar if that is a terminal.
  TerminalProgress()
      : TerminalProgress(of_terminal(), [](const std::string& s) {
          std::fputs(s.c_str(), stderr);
          std::fflush(stderr);
        }) {}
  /// With a given sink and clock, e.g. for tests or a log file.
  TerminalProgress(const ProgressOptions& options, Write write, Clock clock = steady_seconds)
      : state_(std::make_shared<State>(options, std::move(write), std::move(clock))) {}

  void operator()(const ProgressEvent& event) const { state_->take(event); }

  /// Options for stderr.
  static ProgressOptions of_terminal() {
    ProgressOptions o;
    o.bar = ::isatty(STDERR_FILENO) != 0;
    struct winsize size {};
    if (o.bar && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) o.width = size.ws_col;
    return o;
  }
  static double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

 private:
  class State {
   public:
    State(const ProgressOptions& options, Write write, Clock clock)
        : o_(options), write_(std::move(write)), clock_(std::move(clock)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      if (drawn_) write_("\n");  // keeps an unfinished bar readable
    }

    void take(const ProgressEvent& e) {
      const std::lock_guard<std::mutex> lock(mutex_);
      const double now = clock_();
      if (!e.phase.empty()) step(e, now);
      if (!e.message.empty()) {
        erase();
        write_(e.message + "\n");
        if (o_.bar && running_) draw(now);
      }
    }

   private:
    void step(const ProgressEvent& e, double now) {
      if (!running_ || e.phase != last_.phase || e.step < last_.step) begin(e, now);
      last_ = e;
      const bool done = e.total > 0 && e.step >= e.total;
      if (o_.bar) {
        if (done || now - shown_ >= o_.redraw_seconds) draw(now);
        if (done) finish_bar();
      } else {
        lines(now, done);
      }
      if (done) running_ = false;
    }
    void begin(const ProgressEvent& e, double now) {
      if (drawn_) finish_bar();
      running_ = true;
      started_ = now;
      first_step_ = e.step;
      shown_ = o_.bar ? now - 1e9 : now;  // a bar appears at once
      shown_step_ = e.step;
    }
    // Time for the rate is that of this run of the phase: a resumed one begins in the middle.
    [[nodiscard]] std::string numbers(double now) const {
      const double seconds = now - started_;
      const auto steps = static_cast<double>(last_.step - first_step_);
      const double rate = seconds > 0 ? steps / seconds : 0;
      std::string out;
      if (last_.loss) out += "  loss " + io::compact(*last_.loss, 4);
      if (rate > 0) out += "  " + (rate >= 1 ? io::fixed(rate, 1) + " it/s" : io::fixed(1 / rate, 1) + " s/it");
      if (last_.total > 0 && last_.step >= last_.total) {
        out += "  in " + io::duration(seconds);
      } else if (last_.total > 0 && rate > 0) {
        out += "  ETA " + io::duration(static_cast<double>(last_.total - last_.step) / rate);
      }
      return out;
    }
    [[nodiscard]] std::string counts() const {
      return std::to_string(last_.step) + (last_.total > 0 ? "/" + std::to_string(last_.total) : "");
    }
    [[nodiscard]] double share() const {
      return last_.total > 0 ? std::clamp(static_cast<double>(last_.step) / static_cast<double>(last_.total), 0.0, 1.0)
                             : 0.0;
    }

    void draw(double now) {
      std::string left = last_.phase;
      if (left.size() < 16) left.resize(16, ' ');
      const std::string right = " " + io::fixed(std::floor(100 * share()), 0) + "%  " + counts() + numbers(now);
      const int room = o_.width - 1 - static_cast<int>(left.size() + right.size()) - 2;
      std::string line = left;
      if (last_.total > 0 && room >= 8) line += " " + bar(std::min(room, 30), share());
      line += right;
      // A block of the bar has three bytes and one column; only a line without a bar can be too long.
      if (room < 8 && static_cast<int>(line.size()) >= o_.width)
        line.resize(static_cast<std::size_t>(std::max(1, o_.width - 1)));
      write_("\r\x1b[K" + line);
      drawn_ = true;
      shown_ = now;
    }
    static std::string bar(int columns, double share) {
      const int eighths = static_cast<int>(std::lround(share * columns * 8));
      static constexpr const char* parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
      std::string out;
      for (int i = 0; i < eighths / 8; ++i) out += "█";
      out += parts[eighths % 8];
      const int used = eighths / 8 + (eighths % 8 != 0 ? 1 : 0);
      return "\x1b[36m" + out + "\x1b[2m" + repeat("·", columns - used) + "\x1b[0m";
    }
    static std::string repeat(const char* text, int times) {
      std::string out;
      for (int i = 0; i < times; ++i) out += text;
      return out;
    }
    void finish_bar() {
      if (drawn_) write_("\n");
      drawn_ = false;
    }
    void erase() {
      if (drawn_) write_("\r\x1b[K");
      drawn_ = false;
    }

    void lines(double now, bool done) {
      const double waited = now - shown_;
      const bool tenth = last_.total > 0 && 10 * last_.step / last_.total > 10 * shown_step_ / last_.total;
      if (!done && !(tenth && waited >= o_.least_line_seconds) && waited < o_.line_seconds) return;
      write_(last_.phase + ": " + counts() +
             (last_.total > 0 ? " (" + io::fixed(std::floor(100 * share()), 0) + "%)" : "") + numbers(now) + "\n");
      shown_ = now;
      shown_step_ = last_.step;
    }

    ProgressOptions o_;
    Write write_;
    Clock clock_;
    std::mutex mutex_;
    ProgressEvent last_;
    bool running_ = false, drawn_ = false;
    double started_ = 0, shown_ = 0;
    std::int64_t first_step_ = 0, shown_step_ = 0;
  };

  std::shared_ptr<State> state_;
};

}  // namespace hypersd::report
