// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <exception>
#include <hypersd/dist/communicator.hpp>
#include <string>
#include <type_traits>

namespace hypersd::dist {

/// Runs the body of a program on one rank or many. Returns the exit code of `body`, or 0 if it returns nothing. An
/// exception is written to standard error with the number of the rank, and the exit code is 1. If the communicator has
/// `abort(code)`, the whole job ends then, because the other ranks would wait for this one forever.
template <Communicator C, class Body>
int run(C& communicator, Body&& body) {
  std::string message;
  try {
    if constexpr (std::is_convertible_v<decltype(body()), int>) {
      return body();
    } else {
      body();
      return 0;
    }
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an exception that is no std::exception";
  }
  message += "\n";
  const int rank = communicator.rank(), size = communicator.size();
  if (size > 1) message = "rank " + std::to_string(rank) + " of " + std::to_string(size) + ": " + message;
  std::fputs(message.c_str(), stderr);  // one call: lines of several ranks do not mix
  std::fflush(stderr);
  if constexpr (requires { communicator.abort(1); }) {
    if (size > 1) communicator.abort(1);
  }
  return 1;
}

}  // namespace hypersd::dist
