// SPDX-License-Identifier: Apache-2.0
/// Runs what the other files of the folder have registered; options are those of Google Benchmark.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <hypersd/core/parallel.hpp>

int main(int argc, char** argv) {
  if (const char* threads = std::getenv("HYPERSD_BENCH_THREADS")) hypersd::set_num_threads(std::atoi(threads));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
