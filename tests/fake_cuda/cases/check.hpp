// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include <fake_cuda/fake_cuda.hpp>
#include <hypersd/core/graph.hpp>
#include <string>
#include <thread>

namespace fake_cuda {

/// A device as it should be at the start of a case, and in the end: without faults, all memory and objects released.
struct Clean {
  Clean() {
    device() = {};
    const hypersd::Graph<hypersd::Cuda> handles([] {});  // what a thread creates once, it has now
    blocks_before = blocks();
    objects_before = objects() - 1;  // this graph
    reset();
  }
  Clean(const Clean&) = delete;
  Clean& operator=(const Clean&) = delete;
  ~Clean() {
    for (const std::string& fault : faults()) FAIL_CHECK(fault);
    CHECK(blocks() == blocks_before);
    CHECK(objects() == objects_before);
  }
  std::int64_t blocks_before, objects_before;
};

/// Message of the hypersd::DeviceError that f() throws; empty if none.
template <class F>
std::string device_error(F&& f) {
  try {
    f();
  } catch (const hypersd::DeviceError& e) {
    return e.what();
  }
  return {};
}

/// The same in a thread of its own, which has not used the device yet.
template <class F>
std::string device_error_of_new_thread(F&& f) {
  std::string out;
  std::thread([&] { out = device_error(f); }).join();
  return out;
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace fake_cuda
