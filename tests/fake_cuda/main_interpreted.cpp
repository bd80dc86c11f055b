// SPDX-License-Identifier: Apache-2.0
// The tests that need a GPU, on the stand-in that carries kernels out.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cuda_runtime_api.h>
#include <cstdio>
#include <fake_cuda/fake_cuda.hpp>

int main(int argc, char** argv) {
  fake_cuda::device().runs_kernels = true;
  const int status = doctest::Context(argc, argv).run();
  // A fault in a kernel is an error at the next wait, which has failed a case; here of what nobody waited for.
  const bool failed = cudaDeviceSynchronize() != cudaSuccess;
  if (status != 0 || failed)
    for (const std::string& fault : fake_cuda::faults()) std::printf("%s\n", fault.c_str());
  return failed ? 1 : status;
}
