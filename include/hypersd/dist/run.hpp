// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <exception>
#include <hypersd/dist/communicator.hpp>
#include <string>
#include <type_traits>

namespace hypersd::dist {

/// Runs the body of a rank's program; returns its exit code, 0 if it returns nothing. What it throws is written to
/// standard error under the rank's number and ends the whole job, where the communicator has an `abort(code)`: ranks that
/// wait for the lost one would wait for ever. With one process an exception passes through.
template <Communicator C, class Body>
int run(C& communicator, Body&& body) {
  const auto call = [&]() -> int {
    if constexpr (std::is_convertible_v<decltype(body()), int>) {
      return body();
    } else {
      body();
      return 0;
    }
  };
  if (communicator.size() == 1) return call();
  std::string message;
  try {
    return call();
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an exception that is no std::exception";
  }
  message = "rank " + std::to_string(communicator.rank()) + " of " + std::to_string(communicator.size()) + ": " +
            message + "\n";
  std::fputs(message.c_str(), stderr);  // one call: lines of several ranks do not mix
  std::fflush(stderr);
  if constexpr (requires { communicator.abort(1); }) communicator.abort(1);
  return 1;
}

}  // namespace hypersd::dist
