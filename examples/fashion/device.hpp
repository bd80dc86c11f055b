// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/error.hpp>
#include <hypersd/core/tensor.hpp>

#include <string>
#include <utility>

namespace fashion {

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

}  // namespace fashion
