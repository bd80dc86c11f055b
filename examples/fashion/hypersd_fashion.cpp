// SPDX-License-Identifier: Apache-2.0
/// The main job on real images: teacher -> TSCD (k = 8, 4, 2, 1) -> one-step enhancement -> a student that samples in 1
/// to 8 steps.

#include "fashion/command_line.hpp"

#include <hypersd/core/parallel.hpp>

namespace fashion {
/// Compiled in execute.cpp.
template <hypersd::Device D>
void execute(const Options&);
}  // namespace fashion

int main(int argc, char** argv) try {
  const auto guard = program::stop_on_signal("hypersd_fashion");
  const fashion::Options o = fashion::parse_options(argc, argv);
  if (o.threads > 0) hypersd::set_num_threads(o.threads);
  program::on_gpu(o.device) ? fashion::execute<program::Gpu>(o) : fashion::execute<hypersd::Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_fashion");
}
