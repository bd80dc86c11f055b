// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/storage.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("Size classes waste at most a quarter and never shrink a request") {
  for (std::size_t bytes = 1; bytes < 5'000'000; bytes += 1 + bytes / 7) {
    const std::size_t size = detail::CpuPool::rounded(bytes);
    CHECK(size >= bytes);
    CHECK((bytes <= 256 || static_cast<double>(size) <= 1.26 * static_cast<double>(bytes)));
  }
}

TEST_CASE("A freed block serves the next request of its class") {
  Memory<Cpu>::release_pool();
  void* first = Memory<Cpu>::allocate(100'000).get();
  const auto second = Memory<Cpu>::allocate(100'001);
  CHECK(second.get() == first);
  CHECK(detail::CpuPool::instance().pooled() == 0);
  CHECK(Memory<Cpu>::allocate(0).get() == nullptr);
}
