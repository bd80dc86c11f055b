// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/parallel.hpp>
//
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace hypersd;

namespace {

/// Restores the number of threads.
struct Threads {
  int before = num_threads();
  ~Threads() { set_num_threads(before); }
};

std::vector<std::pair<std::int64_t, std::int64_t>> chunks(std::int64_t n, std::int64_t grain) {
  std::vector<std::pair<std::int64_t, std::int64_t>> out;
  std::mutex mutex;
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::lock_guard<std::mutex> lock(mutex);
    out.emplace_back(begin, end);
  });
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("Chunks cover the range once and do not depend on the number of threads") {
  const Threads restore;
  for (const std::int64_t n : {1, 2, 15, 16, 17, 1000}) {
    for (const std::int64_t grain : {0, 1, 4, 16, 2000}) {
      set_num_threads(1);
      const auto serial = chunks(n, grain);
      std::int64_t at = 0;
      for (const auto& [begin, end] : serial) {
        CHECK(begin == at);
        CHECK(end > begin);
        CHECK(end - begin <= std::max<std::int64_t>(1, grain));
        at = end;
      }
      CHECK(at == n);
      for (const int threads : {2, 4}) {
        set_num_threads(threads);
        CHECK(num_threads() == threads);
        CHECK(chunks(n, grain) == serial);
      }
    }
  }
  CHECK(chunks(0, 1).empty());
  CHECK(chunks(-3, 1).empty());
}

TEST_CASE("Chunk-wise sums are the same bits for any number of threads") {
  const Threads restore;
  std::vector<float> x(100'003);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1.0F / static_cast<float>(i % 977 + 1);
  auto total = [&] {
    std::vector<float> part(x.size() / 1000 + 1, 0.0F);
    parallel_for(static_cast<std::int64_t>(x.size()), 1000, [&](std::int64_t begin, std::int64_t end) {
      part[static_cast<std::size_t>(begin / 1000)] = std::accumulate(x.begin() + begin, x.begin() + end, 0.0F);
    });
    return std::accumulate(part.begin(), part.end(), 0.0F);
  };
  set_num_threads(1);
  const float one = total();
  for (const int threads : {2, 4}) {
    set_num_threads(threads);
    for (int repeat = 0; repeat < 20; ++repeat) CHECK(total() == one);
  }
}

TEST_CASE("Nested calls run and finish") {
  const Threads restore;
  set_num_threads(4);
  std::atomic<int> count{0};
  parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
    parallel_for(10, 3, [&](std::int64_t begin, std::int64_t end) { count += static_cast<int>(end - begin); });
  });
  CHECK(count == 80);
}

TEST_CASE("An exception of a chunk reaches the caller, and the pool goes on working") {
  const Threads restore;
  for (const int threads : {1, 4}) {
    set_num_threads(threads);
    CHECK_THROWS_WITH_AS(parallel_for(100, 1,
                                      [](std::int64_t begin, std::int64_t) {
                                        if (begin == 57) throw std::runtime_error("chunk 57");
                                      }),
                         "chunk 57", std::runtime_error);
    CHECK(chunks(10, 1).size() == 10);
  }
}

TEST_CASE("The number of threads may change while other threads compute") {
  const Threads restore;
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i)
    others.emplace_back([&] {
      while (!stop) {
        std::vector<int> seen(200, 0);
        parallel_for(200, 3, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t k = begin; k < end; ++k) ++seen[static_cast<std::size_t>(k)];
        });
        if (std::count(seen.begin(), seen.end(), 1) != 200) ++wrong;
      }
    });
  for (int repeat = 0; repeat < 60; ++repeat) {
    set_num_threads(1 + repeat % 5);
    CHECK(num_threads() == 1 + repeat % 5);
  }
  stop = true;
  for (std::thread& t : others) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("Several threads may set the number of threads") {
  const Threads restore;
  std::vector<std::thread> others;
  for (int n = 1; n <= 3; ++n)
    others.emplace_back([n] {
      for (int repeat = 0; repeat < 20; ++repeat) set_num_threads(n);
    });
  for (std::thread& t : others) t.join();
  CHECK(num_threads() >= 1);
  CHECK(num_threads() <= 3);
  CHECK(chunks(10, 1).size() == 10);
}

TEST_CASE("A loop does not wait for the loop of another thread") {
  const Threads restore;
  set_num_threads(2);
  std::atomic<bool> second_is_done{false};
  std::thread first([&] {
    parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
      while (!second_is_done) std::this_thread::yield();
    });
  });
  std::atomic<int> count{0};
  parallel_for(50, 1, [&](std::int64_t, std::int64_t) { ++count; });
  second_is_done = true;
  first.join();
  CHECK(count == 50);
}

TEST_CASE("A loop does not change the number of threads from inside") {
  const Threads restore;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    for (int repeat = 0; repeat < 50; ++repeat) {  // also while the pool leaves helpers out
      CHECK_THROWS_WITH_AS(parallel_for(4, 1, [](std::int64_t, std::int64_t) { set_num_threads(3); }),
                           "set_num_threads(3) inside parallel_for", Error);
      CHECK(num_threads() == threads);
    }
  }
  parallel_for(1, 1, [](std::int64_t, std::int64_t) { set_num_threads(3); });  // one chunk: not a loop
  CHECK(num_threads() == 3);
}

// Sanitizers need address space of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("Threads that the system refuses are an error, and their number stays") {
  const Threads restore;
  set_num_threads(2);
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  if (pages == 0) return;
  rlimit before{};
  ::getrlimit(RLIMIT_AS, &before);
  const rlimit little{static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE) + (64 << 20)), before.rlim_max};
  ::setrlimit(RLIMIT_AS, &little);
  std::string message;
  try {
    set_num_threads(200);
  } catch (const OptionError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_AS, &before);
  CHECK(message.rfind("set_num_threads(200): the system refuses more than ", 0) == 0);
  CHECK(num_threads() == 2);
  CHECK(chunks(10, 1).size() == 10);
}
#endif

TEST_CASE("The ends of a range near the largest integer are right") {
  const Threads restore;
  set_num_threads(2);
  const std::int64_t n = INT64_MAX, grain = INT64_MAX / 2;
  CHECK(chunks(n, grain) ==
        std::vector<std::pair<std::int64_t, std::int64_t>>{{0, grain}, {grain, 2 * grain}, {2 * grain, n}});
}
