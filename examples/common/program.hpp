// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <hypersd/core/error.hpp>
#include <hypersd/core/tensor.hpp>
#include <string>

/// \file
/// What every program with options does: read them, say what is wrong, choose the device.

namespace program {

/// Parses, and prints the help where it is asked for. Throws CLI::ParseError, then too: `main` ends with its exit code.
inline void parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
    throw;
  }
}

/// Runs a program: `body` parses and works. A usage error or another exception becomes a message under the program's
/// name and exit code 2; help that was asked for is exit code 0.
template <class Body>
int run(const char* name, Body&& body) {
  try {
    body();
    return 0;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return 0;
    std::fprintf(stderr, "%s: %s\nTry --help.\n", name, e.what());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name, e.what());
  }
  return 2;
}

/// The option of where a program computes.
inline void add_device(CLI::App& app, std::string& device) {
  app.add_option("--device", device, "where networks run: cpu, or cuda if the program was built with nvcc")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
}

/// Calls body(D{}) with the device that `--device` names. Throws OptionError for cuda where the program was built
/// without nvcc, DeviceError where no GPU can be used.
template <class Body>
void on_device(const std::string& name, Body&& body) {
  using namespace hypersd;
  if (name == "cpu") return body(Cpu{});
#if HYPERSD_HAS_CUDA
  detail::CudaContext::current();  // before anything is written
  body(Cuda{});
#else
  fail<OptionError>("--device ", name,
                    ": this program was built without CUDA; build it with nvcc, as `bash examples/run.sh ",
                    "--device cuda` or `cmake --preset examples-cuda && cmake --build --preset examples-cuda` do");
#endif
}

}  // namespace program
