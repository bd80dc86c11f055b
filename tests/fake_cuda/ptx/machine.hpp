// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstring>
#include <fake_cuda/ptx/meter.hpp>
#include <fake_cuda/ptx/program.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace ptx {

/// What a kernel did that a GPU would refuse, or that has no defined result there.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Launch {
  const Module* module;
  const Kernel* kernel;
  std::array<std::uint32_t, 3> grid, block;
  std::size_t dynamic_bytes;  ///< of shared memory
  std::vector<char> parameters;
};

/// Runs a launch to its end, block after block; a block's threads go on by themselves until they meet a barrier or an
/// instruction of a whole warp, as on GPUs since Volta. Throws Fault: addresses that are not allocated or not aligned,
/// lanes that are missing at a warp's instruction or a barrier, two threads at the same byte of which one writes
/// without a barrier between them, or two blocks, and instructions that this machine does not know. With `backward`,
/// warps and lanes take turns in the other order. Adds what is done to `metered`, unless that is null.
void run(const Launch& launch, bool backward, fake_cuda::Metered* metered);

class Machine;

enum class Waits : std::uint8_t { none, warp, barrier, ended };

/// Bytes on their way to shared memory (cp.async).
struct Transfer {
  std::uint64_t to;
  std::array<char, 16> bytes;
  std::uint8_t size;
  bool committed;
  std::int64_t group;
};

struct Thread {
  Machine* machine = nullptr;
  std::uint64_t* r = nullptr;
  std::int32_t pc = 0;
  std::int32_t id = 0;
  Waits waits = Waits::none;
  std::int64_t groups = 0;  ///< of transfers that it has committed
  std::vector<Transfer> transfers;
  std::vector<char> local;
};

/// The bits of a register as a T.
template <class T>
T get(const Thread& t, Slot s) {
  T out;
  std::memcpy(static_cast<void*>(&out), t.r + s, sizeof(T));
  return out;
}
template <>
inline bool get<bool>(const Thread& t, Slot s) {
  return t.r[s] != 0;
}
/// A signed number fills the whole register, in case it is a wider one.
template <class T>
void set(Thread& t, Slot s, T value) {
  if (s < 0) return;
  if constexpr (std::is_integral_v<T>) {
    t.r[s] = static_cast<std::uint64_t>(value);
  } else {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    t.r[s] = bits;
  }
}

/// Memory and threads of the block that runs.
class Machine {
 public:
  Machine(const Launch& launch, bool backward, fake_cuda::Metered* metered);

  void run_block(std::uint32_t x, std::uint32_t y, std::uint32_t z);

  /// Memory behind an address for one access of `size` bytes, checked; `metered` if it is the instruction's own.
  char* at(Thread& t, std::uint64_t address, std::uint32_t size, bool writes, bool metered = true);

  const Launch& launch;
  std::uint32_t active = 0;  ///< lanes of the warp that execute the present instruction together

 private:
  struct Use {
    std::uint32_t write_time = 0, read_time = 0;
    std::int32_t writer = 0, reader = 0;  ///< -1: several
  };
  struct Global {
    std::uint64_t begin = 1, end = 0;
    char* bytes = nullptr;
    Use* uses = nullptr;
  };

  char* global(Thread& t, std::uint64_t address, std::uint32_t size, bool writes);
  void start(Thread& t, std::int32_t id);
  void go(Thread& t);
  /// Runs a warp until all its lanes have ended or wait at a barrier.
  void run_warp(std::int32_t warp);
  /// Carries out one instruction that lanes of a warp wait at together.
  void together(Thread* lanes, std::int32_t count);
  std::string describe(const Thread& t, const Instruction& i, const char* what) const;
  static void note(Use* uses, std::uint32_t size, std::int32_t who, std::uint32_t time, bool writes, const char* what);

  bool backward_;
  fake_cuda::Metered* metered_;
  std::optional<Meter> meter_;
  std::int32_t threads_;
  std::size_t shared_bytes_;
  std::vector<Thread> thread_;
  std::vector<std::uint64_t> registers_;
  std::vector<char> shared_;
  std::vector<Use> shared_uses_;
  std::uint32_t time_ = 0, launch_time_;
  std::int32_t block_ = 0;
  Global known_[4];
  std::size_t next_ = 0;
};

}  // namespace ptx
