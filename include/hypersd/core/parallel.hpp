// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <hypersd/core/error.hpp>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

/// \file
/// Loops on several host threads. Every function here is thread-safe: any number of threads may run loops, and any
/// thread that is not inside one may change the number of threads meanwhile.

namespace hypersd {

namespace detail {

/// Type-erased reference to a chunk function; avoids std::function's allocation on every call.
struct ChunkFn {
  void* object;
  void (*call)(void*, std::int64_t);
};

/// A pool whose workers pull chunk numbers of open jobs from a counter each. Chunk boundaries never depend on the
/// number of threads. Thread-safe.
///
/// The thread that opens a job works on it too. When no chunk is left it closes the job and waits for the workers that
/// have joined, each in its last chunk; workers that were not scheduled in time are not waited for. Waiting threads
/// spin for the time that a sleep and a wake-up would cost, then block.
class ThreadPool {
 public:
  static ThreadPool& instance() {
    static ThreadPool pool;
    return pool;
  }

  /// Throws OptionError if the system refuses so many threads; their number is then as before. Throws Error inside a
  /// loop of several chunks. Waits for workers that end to leave their jobs.
  void resize(int n) {
    require<Error>(!inside(), "set_num_threads(", n, ") inside parallel_for");
    const std::lock_guard<std::mutex> one_at_a_time(resizing_);
    const int before = size(), after = std::max(1, n);
    const int reached = start(after);
    if (reached >= after) return stop(after);
    stop(before);
    fail<OptionError>("set_num_threads(", n, "): the system refuses more than ", reached, " threads");
  }
  [[nodiscard]] int size() const { return size_.load(std::memory_order_relaxed); }

  void run(std::int64_t chunks, ChunkFn fn) {
    if (chunks == 1) fn.call(fn.object, 0);
    if (chunks <= 1) return;
    if (size() > 1 && !inside() && run_shared(chunks, fn)) return;
    const Inside guard;
    for (std::int64_t i = 0; i < chunks; ++i) fn.call(fn.object, i);
  }

  ~ThreadPool() { stop(1); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  struct Job {
    ChunkFn fn;
    std::int64_t chunks;
    std::int64_t seats;  // workers that may still join
    std::atomic<std::int64_t> next{0};
    std::atomic<int> helpers{0};  // workers that have joined and not left; changed under mutex_
    std::exception_ptr error{};
  };

  static constexpr std::chrono::microseconds patience{30};  // about a sleep and a wake-up

  ThreadPool() {
    hardware_ = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    start(hardware_);
  }

  static bool& inside() {
    thread_local bool flag = false;
    return flag;
  }

  // Marks the calling thread as inside a loop.
  class Inside {
   public:
    Inside() : before_(inside()) { inside() = true; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() { inside() = before_; }

   private:
    bool before_;
  };

  // Up to n threads; returns how many there are.
  int start(int n) {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      while (size() < n) {
        workers_.emplace_back([this, number = size()] { loop(number); });
        size_.fetch_add(1, std::memory_order_relaxed);
      }
    } catch (const std::system_error&) {
    }
    return size();
  }
  // Down to n threads.
  void stop(int n) {
    std::vector<std::thread> ending;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (int i = size(); i > n; --i) {
        ending.push_back(std::move(workers_.back()));
        workers_.pop_back();
      }
      size_.store(std::min(n, size()), std::memory_order_relaxed);
      news_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& t : ending) t.join();
  }

  // False, with nothing done, where helpers have lately cost more than they gave.
  bool run_shared(std::int64_t chunks, ChunkFn fn) {
    Job job{fn, chunks, 0};
    std::int64_t to_wake = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (alone_ > 0) {
        --alone_;
        return false;
      }
      job.seats = std::min<std::int64_t>(size() - 1, chunks - 1);
      to_wake = std::min<std::int64_t>(job.seats - spinning_, sleeping_);
      jobs_.push_back(&job);
      news_.fetch_add(1, std::memory_order_release);
    }
    for (std::int64_t i = 0; i < to_wake; ++i) wake_.notify_one();
    const auto begun = Clock::now();
    work(job);
    const auto worked = Clock::now();
    std::unique_lock<std::mutex> lock(mutex_);
    std::erase(jobs_, &job);
    if (job.helpers.load(std::memory_order_relaxed) > 0) {
      lock.unlock();
      const auto left = [&] { return job.helpers.load(std::memory_order_acquire) == 0; };
      const bool soon = spin(left);
      lock.lock();
      if (!soon) done_.wait(lock, left);
      judge(worked - begun, Clock::now() - worked);
    } else {
      judge({}, {});
    }
    if (job.error) std::rethrow_exception(job.error);
    return true;
  }

  // A helper that took longer for one chunk than the caller for all of its own was not running: other programs use the
  // processors. Then the next jobs run on the caller alone, twice as many as the time before; each good job halves
  // that.
  void judge(Clock::duration work, Clock::duration wait) {
    if (wait > 2 * work + std::chrono::microseconds(200)) {
      alone_next_ = std::min(2 * alone_next_ + 8, 1024);
      alone_ = alone_next_;
    } else {
      alone_next_ /= 2;
    }
  }

  // Whether `ready` became true within `patience`. Does not wait where threads outnumber the processors.
  template <class Ready>
  bool spin(const Ready& ready) {
    if (size() > hardware_) return ready();
    const auto end = Clock::now() + patience;
    do {
      for (int i = 0; i < 32; ++i) {
        if (ready()) return true;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      }
    } while (Clock::now() < end);
    return ready();
  }

  Job* join_a_job() {
    for (Job* job : jobs_) {
      if (job->seats == 0) continue;
      --job->seats;
      job->helpers.fetch_add(1, std::memory_order_relaxed);
      return job;
    }
    return nullptr;
  }
  void loop(int number) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (number < size()) {
      if (Job* job = join_a_job()) {
        lock.unlock();
        work(*job);
        lock.lock();
        // The caller may return and end the job's life as soon as it sees this.
        if (job->helpers.fetch_sub(1, std::memory_order_release) == 1) done_.notify_all();
        continue;
      }
      const std::uint64_t seen = news_.load(std::memory_order_relaxed);
      const auto news = [&] { return news_.load(std::memory_order_acquire) != seen; };
      if (alone_ == 0) {
        ++spinning_;
        lock.unlock();
        (void)spin(news);
        lock.lock();
        --spinning_;
      }
      ++sleeping_;
      wake_.wait(lock, news);
      --sleeping_;
    }
  }
  void work(Job& job) {
    const Inside guard;
    try {
      for (;;) {
        const std::int64_t i = job.next.fetch_add(1, std::memory_order_relaxed);
        if (i >= job.chunks) break;
        job.fn.call(job.fn.object, i);
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!job.error) job.error = std::current_exception();
      job.next.store(job.chunks, std::memory_order_relaxed);
    }
  }

  std::mutex resizing_;  // before mutex_, which guards all that is not atomic
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  std::vector<Job*> jobs_;
  std::atomic<int> size_{1};            // threads, the caller counted; changed under mutex_
  std::atomic<std::uint64_t> news_{0};  // jobs opened and resizes so far; changed under mutex_
  int spinning_ = 0, sleeping_ = 0;     // workers without a job
  int alone_ = 0, alone_next_ = 0;      // jobs to run without helpers, now and after the next bad one
  int hardware_ = 1;
};

}  // namespace detail

/// Sets how many threads CPU operations use (at least 1). Results never depend on it. Thread-safe, also while other
/// threads compute. Throws OptionError if the system refuses so many, Error inside a loop of several chunks.
inline void set_num_threads(int n) { detail::ThreadPool::instance().resize(n); }

/// Threads that CPU operations use; the default is the number of hardware threads. Thread-safe.
inline int num_threads() { return detail::ThreadPool::instance().size(); }

/// Calls `f(begin, end)` over [0, n) in chunks of `grain` (the last may be shorter), in parallel.
/// The chunks are the same for every thread count, so chunk-wise partial results are reproducible.
/// Nested calls run serially; an exception of `f` is rethrown here. Thread-safe: loops of several threads share the
/// workers, and each thread works on its own loop.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = n / grain + (n % grain != 0 ? 1 : 0);
  auto chunk = [&](std::int64_t i) { f(i * grain, n - i * grain > grain ? (i + 1) * grain : n); };
  using Chunk = decltype(chunk);
  detail::ThreadPool::instance().run(
      chunks, {static_cast<void*>(&chunk), [](void* o, std::int64_t i) { (*static_cast<Chunk*>(o))(i); }});
}

}  // namespace hypersd
