// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace hypersd {

namespace detail {

/// Type-erased reference to a chunk function; avoids std::function's allocation on every call.
struct ChunkFn {
  void* object;
  void (*call)(void*, std::int64_t);
};

/// A pool whose workers pull chunk numbers from one counter. Chunk boundaries never depend on the thread count.
class ThreadPool {
 public:
  static ThreadPool& instance() {
    static ThreadPool pool;
    return pool;
  }

  void resize(int n) {
    stop();
    start(std::max(1, n));
  }
  [[nodiscard]] int size() const { return static_cast<int>(workers_.size()) + 1; }

  void run(std::int64_t chunks, ChunkFn fn) {
    if (workers_.empty() || inside() || chunks <= 1) {
      for (std::int64_t i = 0; i < chunks; ++i) fn.call(fn.object, i);
      return;
    }
    const std::lock_guard<std::mutex> one_at_a_time(entry_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      fn_ = fn;
      chunks_ = chunks;
      next_.store(0, std::memory_order_relaxed);
      busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
      error_ = nullptr;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work();
    // Workers finish within microseconds of the caller: spinning beats a sleep here.
    for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; ++spins)
      if (spins > 2000) std::this_thread::yield();
    if (error_) std::rethrow_exception(error_);
  }

  ~ThreadPool() { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  ThreadPool() { start(static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))); }

  static bool& inside() {
    thread_local bool flag = false;
    return flag;
  }

  void start(int n) {
    stopping_ = false;
    for (int i = 1; i < n; ++i) workers_.emplace_back([this, seen = generation_.load()]() mutable { loop(seen); });
  }
  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& t : workers_) t.join();
    workers_.clear();
  }
  void loop(std::uint64_t seen) {
    for (;;) {
      // A short spin keeps the gaps between consecutive kernels cheap; then the thread sleeps.
      for (int spins = 0; spins < 20000 && generation_.load(std::memory_order_acquire) == seen; ++spins) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      }
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
      }
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        seen = generation_.load(std::memory_order_relaxed);
        if (stopping_) return;
      }
      work();
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }
  void work() {
    inside() = true;
    try {
      for (;;) {
        const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
        if (i >= chunks_) break;
        fn_.call(fn_.object, i);
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(chunks_, std::memory_order_relaxed);
    }
    inside() = false;
  }

  std::vector<std::thread> workers_;
  std::mutex entry_, mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> busy_{0};
  ChunkFn fn_{};
  std::int64_t chunks_ = 0;
  std::exception_ptr error_;
  bool stopping_ = false;
};

}  // namespace detail

/// Sets how many threads CPU operations use (at least 1). Results never depend on it.
inline void set_num_threads(int n) { detail::ThreadPool::instance().resize(n); }

/// Threads that CPU operations use; the default is the number of hardware threads.
inline int num_threads() { return detail::ThreadPool::instance().size(); }

/// Calls `f(begin, end)` over [0, n) in chunks of `grain` (the last may be shorter), in parallel.
/// The chunks are the same for every thread count, so chunk-wise partial results are reproducible.
/// Nested calls run serially; an exception of `f` is rethrown here.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = (n + grain - 1) / grain;
  auto chunk = [&](std::int64_t i) { f(i * grain, std::min(n, (i + 1) * grain)); };
  using Chunk = decltype(chunk);
  detail::ThreadPool::instance().run(
      chunks, {static_cast<void*>(&chunk), [](void* o, std::int64_t i) { (*static_cast<Chunk*>(o))(i); }});
}

}  // namespace hypersd
