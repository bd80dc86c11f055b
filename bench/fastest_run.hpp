// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>

/// Calls f `warmup` times, then `iterations` times, and keeps the least wall and CPU milliseconds of the latter.
template <class F>
void fastest_run(double& wall_ms, double& cpu_ms, int iterations, int warmup, F&& f) {
  for (int i = 0; i < warmup + iterations; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    f();
    const double used = 1e3 * static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
    const double wall = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    if (i < warmup) continue;
    wall_ms = std::min(wall_ms, wall);
    cpu_ms = std::min(cpu_ms, used);
  }
}
