// SPDX-License-Identifier: Apache-2.0
// train FOLDER: the run in the plane of tests/dist, begun or resumed in FOLDER. Exit code 2 after an error, with its
// message.
#include <cstdio>
#include <dist/toy_run.hpp>
#include <exception>

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: train FOLDER\n"), 3;
  hypersd::set_num_threads(1);
  ToyRun{}(argv[1], {});
  return 0;
} catch (const hypersd::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "no error of the library: %s\n", error.what());
  return 4;
}
