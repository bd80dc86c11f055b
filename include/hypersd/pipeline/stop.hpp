// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <string>
#include <utility>

namespace hypersd::pipeline {

/// A run that ended early because it was asked to, after a checkpoint. The message says which.
struct Stopped : Error {
  using Error::Error;
};

/// Makes SIGINT and SIGTERM stop training after the current step, with a checkpoint, while the object lives: pass
/// `StopOnSignal::stop` as `Hooks::stop` or `Session::stop`. A second signal ends the process at once. Opt-in: the
/// library itself changes no signal. One object at a time, made before other threads are.
class StopOnSignal {
 public:
  /// `notice` is written to stderr by the first signal; empty: nothing. Throws OptionError if another object lives.
  explicit StopOnSignal(std::string notice = {}) {
    State& s = state();
    require<OptionError>(!s.installed, "StopOnSignal: another object lives already");
    s.notice = std::move(notice);
    s.signal = 0;
    s.installed = true;
    struct sigaction action {};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, &old_int_);
    ::sigaction(SIGTERM, &action, &old_term_);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  /// The handlers of before are back.
  ~StopOnSignal() {
    ::sigaction(SIGINT, &old_int_, nullptr);
    ::sigaction(SIGTERM, &old_term_, nullptr);
    state().installed = false;
  }

  /// The signal that came since the last object was made, or 0.
  [[nodiscard]] static int signal() { return state().signal; }
  /// Whether one came.
  static bool stop(std::int64_t /*step*/ = 0) { return signal() != 0; }

 private:
  struct State {
    volatile std::sig_atomic_t signal = 0;
    bool installed = false;
    std::string notice;
  };
  static State& state() {
    static State s;
    return s;
  }
  static void handle(int number) {
    State& s = state();
    s.signal = number;
    struct sigaction first {};
    first.sa_handler = SIG_DFL;
    ::sigaction(SIGINT, &first, nullptr);
    ::sigaction(SIGTERM, &first, nullptr);
    if (!s.notice.empty()) static_cast<void>(::write(STDERR_FILENO, s.notice.data(), s.notice.size()) < 0);
  }

  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace hypersd::pipeline
