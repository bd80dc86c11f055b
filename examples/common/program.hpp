// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <hypersd/core/error.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/text.hpp>
#include <hypersd/pipeline/stop.hpp>
#include <new>
#include <string>
#include <system_error>

/// \file
/// What every program with options does: read them, say what is wrong, choose the device.

namespace program {

namespace detail {

/// Whether all of `text` is one number of type T, in decimal.
template <class T>
bool reads_as(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

/// A check of an option's text. It does not appear in the help.
template <class Check>
CLI::Validator silent(Check check) {
  return {[check](std::string& text) { return check(text); }, "", "number"};
}

/// What is wrong with `text` as a number of CLI11's type `type`; empty if nothing is. CLI11 itself takes `nan`, turns
/// -1 into 2^64 - 1 and reads integers that are too long as the largest one.
inline std::string number_fault(const std::string& type, const std::string& text) {
  const std::string quoted = hypersd::io::in_quotes(text);
  if (type == "INT") {
    std::int64_t value = 0;
    return reads_as(text, value) ? "" : quoted + " is not a whole number of at most 64 bits";
  }
  if (type == "UINT") {
    std::uint64_t value = 0;
    return reads_as(text, value) ? "" : quoted + " is not a whole number between 0 and 18446744073709551615";
  }
  double value = 0;
  return reads_as(text, value) && std::isfinite(value) ? "" : quoted + " is not a finite number";
}

/// Puts that check before every other one of the numeric options.
inline void check_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options(nullptr)) {
    const std::string type = option->get_type_name(), name = type.substr(0, type.find(':'));
    if (name != "INT" && name != "UINT" && name != "FLOAT") continue;
    option->transform(silent([name](const std::string& text) { return number_fault(name, text); }));
  }
  for (CLI::App* group : app.get_subcommands(nullptr)) check_numbers(*group);
}

}  // namespace detail

/// Whole numbers from `low` to `high`.
inline CLI::Validator whole(std::int64_t low, std::int64_t high) {
  const std::string range = std::to_string(low) + " to " + std::to_string(high);
  return {[=](std::string& text) {
            std::int64_t value = 0;
            if (detail::reads_as(text, value) && low <= value && value <= high) return std::string();
            return hypersd::io::in_quotes(text) + " is not a whole number from " + range;
          },
          range};
}
/// Numbers of iterations: from 1 on, with a bound far from where arithmetic on them overflows.
inline CLI::Validator iterations() { return whole(1, 1'000'000'000); }
/// Numbers from `low` to `high`.
inline CLI::Validator real(double low, double high) {
  const std::string range = hypersd::io::compact(low) + " to " + hypersd::io::compact(high);
  return {[=](std::string& text) {
            double value = 0;
            if (detail::reads_as(text, value) && low <= value && value <= high) return std::string();
            return hypersd::io::in_quotes(text) + " is not a number from " + range;
          },
          range};
}
/// Numbers above 0, up to 10^6: learning rates.
inline CLI::Validator positive() {
  return {[](std::string& text) {
            double value = 0;
            if (detail::reads_as(text, value) && 0 < value && value <= 1e6) return std::string();
            return hypersd::io::in_quotes(text) + " is not a number above 0, up to 1e6";
          },
          "above 0"};
}
/// Factors of a loss: 0 to 10^6.
inline CLI::Validator weight() { return real(0, 1e6); }

/// Parses, and prints the help where it is asked for. Numeric options take finite decimal numbers that fit their type,
/// beside what their own checks demand. Throws CLI::ParseError, then too: `main` ends with its exit code.
inline void parse(CLI::App& app, int argc, char** argv) {
  detail::check_numbers(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
    throw;
  }
}

/// The end of a program by an exception: `int main(...) try { ... } catch (...) { return program::failed("name"); }`.
/// Prints it under the program's name and returns exit code 2; help that was asked for is exit code 0.
inline int failed(const char* name) {
  try {
    throw;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return 0;
    std::fprintf(stderr, "%s: %s\nTry --help.\n", name, e.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory\n", name);
  } catch (const hypersd::pipeline::Stopped& e) {
    std::fprintf(stderr, "%s: %s.\nTo go on, repeat the command with --resume.\n", name, e.what());
    return 128 + hypersd::pipeline::StopOnSignal::signal();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name, e.what());
  }
  return 2;
}

/// For a program that takes `--resume`, to live in `main`: the first SIGINT or SIGTERM ends it after a step of training
/// and a checkpoint, with exit code 128 + the signal; a second one ends it at once.
inline hypersd::pipeline::StopOnSignal stop_on_signal(const char* name) {
  return hypersd::pipeline::StopOnSignal(std::string(name) +
                                         ": stops after this step of training; a second signal stops at once\n");
}

/// The option of where a program computes.
inline void add_device(CLI::App& app, std::string& device) {
  app.add_option("--device", device, "where networks run: cpu, or cuda if the program was built with nvcc")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
}

#if HYPERSD_HAS_CUDA
using Gpu = hypersd::Cuda;
#else
using Gpu = hypersd::Cpu;  ///< never used: `on_gpu` throws
#endif

/// Whether `--device` names the GPU: the program then computes on `Gpu`. Throws OptionError for cuda where it was built
/// without nvcc, DeviceError where no GPU can be used.
inline bool on_gpu(const std::string& name) {
  if (name == "cpu") return false;
#if HYPERSD_HAS_CUDA
  hypersd::detail::CudaContext::current();  // before anything is written
#else
  hypersd::fail<hypersd::OptionError>(
      "--device ", name, ": this program was built without CUDA; build it with nvcc, as `bash examples/run.sh ",
      "--device cuda` or `cmake --preset examples-cuda && cmake --build --preset examples-cuda` do");
#endif
  return true;
}

}  // namespace program
