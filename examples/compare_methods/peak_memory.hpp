// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/storage.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

namespace compare {

/// The highest resident memory of the process since construction above that at construction, where Linux tells.
class PeakMemory {
 public:
  PeakMemory() {
    hypersd::Memory<hypersd::Cpu>::release_pool();
    std::ofstream clear("/proc/self/clear_refs");
    clear << 5 << std::flush;  // the peak starts again
    before_ = clear ? status("VmRSS:") : NAN;
  }
  /// In MB (2^20 bytes); NaN where it is not known.
  [[nodiscard]] double megabytes() const { return status("VmHWM:") - before_; }

 private:
  static double status(const std::string& key) {
    std::ifstream in("/proc/self/status");
    for (std::string line; std::getline(in, line);)
      if (line.starts_with(key)) return std::strtod(line.c_str() + key.size(), nullptr) / 1024;
    return NAN;
  }
  double before_ = NAN;
};

}  // namespace compare
