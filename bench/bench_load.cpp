// SPDX-License-Identifier: Apache-2.0
/// Opens and loads a checkpoint of Stable Diffusion. Prints one JSON line: for each part wall and CPU milliseconds of
/// one run, and the growth of the resident memory.

#include <hypersd/stable_diffusion/load.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace {

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

double cpu_ms() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
double wall_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double resident_mib() {
  const std::string text = io::read_file("/proc/self/status");
  return std::strtod(text.c_str() + text.find("VmRSS:") + 6, nullptr) / 1024;
}

template <class F>
void timed(const char* name, bool last, const F& f) {
  const double wall = wall_ms(), cpu = cpu_ms(), memory = resident_mib();
  const auto held = f();
  std::printf(R"({"name": "%s", "ms": %.4g, "cpu_ms": %.4g, "resident_mib": %.4g}%s)", name, wall_ms() - wall,
              cpu_ms() - cpu, resident_mib() - memory, last ? "]}\n" : ", ");
}

}  // namespace

int main(int argc, char** argv) try {
  std::string model, file;
  int threads = 1;
  CLI::App app{"Times opening and loading a checkpoint (bench/results/txt2img.md)"};
  app.add_option("--model", model, "model folder or single file")->required();
  app.add_option("--file", file, "safetensors file that is mapped alone")->required();
  app.add_option("--threads", threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(threads);
  std::printf(R"({"bench": "load", "threads": %d, "rows": [)", threads);
  // As a network sees it: every name, type, shape and the place of its bytes.
  timed("map one file", false, [&] {
    io::formats::TensorTable table(file, io::Access::Map);
    std::int64_t elements = 0;
    for (const std::string& name : table.names()) elements += table.shape(name).numel();
    require<FormatError>(elements > 0, "no tensors");
    return table;
  });
  timed("load the model", true, [&] { return sd::load_model<float>(model); });
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_load: %s\n", error.what());
  return 1;
}
