// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace hypersd {

/// One report of a long task. A phase begins with `step = 0` and ends with `step == total`.
struct ProgressEvent {
  std::string phase;           ///< name of the phase, e.g. `teacher` or `tscd k=8`
  std::int64_t step = 0;       ///< steps finished so far, 0 to `total`
  std::int64_t total = 0;      ///< steps of the phase; 0 when unknown
  std::optional<double> loss;  ///< current (smoothed) loss, if the phase has one
  std::string message;         ///< a remark for the user; may come alone, with an empty phase
};

/// Receiver of progress, called on the thread that does the work. Empty: none. The library itself prints nothing.
using Progress = std::function<void(const ProgressEvent&)>;

/// Calls `progress` unless it is empty.
inline void notify(const Progress& progress, const ProgressEvent& event) {
  if (progress) progress(event);
}

}  // namespace hypersd
