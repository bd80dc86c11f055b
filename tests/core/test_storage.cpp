// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/storage.hpp>
//
#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <vector>

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

TEST_CASE("large blocks: memory that one size releases serves other sizes") {
  detail::LargeBlocks blocks;
  constexpr std::size_t mib = 1 << 20;
  std::vector<void*> four;
  for (int i = 0; i < 4; ++i) four.push_back(blocks.take(16 * mib));
  CHECK(blocks.segments() == 1);
  // Three neighbours become one block; the fourth stays.
  blocks.give(four[0]);
  blocks.give(four[2]);
  blocks.give(four[1]);
  void* large = blocks.take(47 * mib);
  CHECK(large == four[0]);
  CHECK(blocks.segments() == 1);
  blocks.give(four[3]);
  blocks.give(large);
  CHECK(blocks.free_bytes() == 64 * mib);
  // A block that fits nowhere: the free segment returns to the system first.
  void* larger = blocks.take(100 * mib);
  CHECK(blocks.segments() == 2);
  CHECK(blocks.free_bytes() == 0);
  blocks.release();  // nothing that is in use
  std::memset(larger, 1, 100 * mib);
  blocks.give(larger);
  CHECK(blocks.free_bytes() == 100 * mib);
  blocks.release();
  CHECK(blocks.free_bytes() == 0);
}

TEST_CASE("large blocks: no two of a long random sequence overlap, and all of them come back") {
  detail::LargeBlocks blocks;
  std::map<char*, std::size_t> used;
  std::uint32_t state = 7;
  const auto random = [&state](std::uint32_t n) { return ((state = state * 1664525U + 1013904223U) >> 8U) % n; };
  std::size_t bytes = 0;
  for (int i = 0; i < 4000; ++i) {
    if (used.empty() || (bytes < (std::size_t{1} << 30U) && random(2) == 0)) {
      const std::size_t size = detail::LargeBlocks::least + random(9'000'000);
      auto* p = static_cast<char*>(blocks.take(size));
      CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
      const auto [at, fresh] = used.emplace(p, size);
      REQUIRE(fresh);
      if (at != used.begin()) REQUIRE(std::prev(at)->first + std::prev(at)->second <= p);
      if (std::next(at) != used.end()) REQUIRE(p + size <= std::next(at)->first);
      bytes += size;
    } else {
      auto at = std::next(used.begin(), random(static_cast<std::uint32_t>(used.size())));
      bytes -= at->second;
      blocks.give(at->first);
      used.erase(at);
    }
  }
  for (const auto& [p, size] : used) blocks.give(p);
  blocks.release();
  CHECK(blocks.free_bytes() == 0);
}
