// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <barrier>
#include <cstring>
#include <hypersd/dist/group.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

/// Ranks that are threads of this process: a communicator for tests that need no launcher.
class Threads {
 public:
  struct Hub {
    explicit Hub(int n) : parts(static_cast<std::size_t>(n)), gate(n) {}
    std::vector<void*> parts;
    std::barrier<> gate;
  };
  Threads(Hub& hub, int rank) : hub_(hub), rank_(rank) {}

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return static_cast<int>(hub_.parts.size()); }
  template <class T>
  void all_reduce(std::span<T> values, hypersd::dist::Reduce how) const {
    show(values.data());
    std::vector<T> sum(values.size(), T(0));
    for (void* part : hub_.parts)
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<T*>(part)[i];
    hub_.gate.arrive_and_wait();
    for (std::size_t i = 0; i < sum.size(); ++i)
      values[i] = how == hypersd::dist::Reduce::mean ? sum[i] / static_cast<T>(size()) : sum[i];
  }
  void broadcast(std::span<std::byte> bytes, int root) const {
    show(bytes.data());
    if (rank_ != root) std::memcpy(bytes.data(), hub_.parts[static_cast<std::size_t>(root)], bytes.size());
    hub_.gate.arrive_and_wait();
  }
  void barrier() const { hub_.gate.arrive_and_wait(); }

 private:
  void show(void* data) const {
    hub_.parts[static_cast<std::size_t>(rank_)] = data;
    hub_.gate.arrive_and_wait();
  }

  Hub& hub_;
  int rank_;
};

/// The same for `emulated::Kernels`, whose device memory is host memory: reduces that too, and counts reductions.
class DeviceThreads : public Threads {
 public:
  using Threads::Threads;
  template <class T>
  void all_reduce(std::span<T> values, hypersd::dist::Reduce how) const {
    ++host_calls;
    Threads::all_reduce(values, how);
  }
  void broadcast(std::span<std::byte> bytes, int root) const {
    ++host_calls;
    Threads::broadcast(bytes, root);
  }
  template <class T>
  void all_reduce_device(T* data, std::int64_t n, hypersd::dist::Reduce how) const {
    ++device_calls;
    Threads::all_reduce(std::span<T>(data, static_cast<std::size_t>(n)), how);
  }
  mutable int host_calls = 0, device_calls = 0;
};

/// Runs body(group), or body(group, communicator), as `n` ranks; returns what each threw ("" for nothing).
template <class C = Threads, class Body>
std::vector<std::string> as_ranks(int n, const Body& body) {
  Threads::Hub hub(n);
  std::vector<std::string> said(static_cast<std::size_t>(n));
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r)
    threads.emplace_back([&, r] {
      C me(hub, r);
      try {
        if constexpr (std::is_invocable_v<const Body&, hypersd::dist::Group, C&>)
          body(hypersd::dist::Group(me), me);
        else
          body(hypersd::dist::Group(me));
      } catch (const std::exception& error) {
        said[static_cast<std::size_t>(r)] = error.what();
      }
    });
  for (auto& t : threads) t.join();
  return said;
}
