// SPDX-License-Identifier: Apache-2.0
// The main of the CUDA test programs. Without a usable GPU nothing runs and the exit code is 77, which CTest reports
// as skipped; `HYPERSD_REQUIRE_GPU=1` turns that into a failure.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cuda_runtime_api.h>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    std::printf("no CUDA device: %s\n", status != cudaSuccess ? cudaGetErrorString(status) : "none found");
    const char* required = std::getenv("HYPERSD_REQUIRE_GPU");
    return required != nullptr && *required == '1' ? 1 : 77;
  }
  return doctest::Context(argc, argv).run();
}
