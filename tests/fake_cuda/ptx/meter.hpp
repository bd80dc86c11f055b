// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <fake_cuda/fake_cuda.hpp>
#include <map>
#include <vector>

namespace ptx {

/// Puts together what the lanes of a warp ask of memory at the same instruction, the same time that they come to it.
class Meter {
 public:
  /// For blocks of `threads` threads that run `instructions` instructions of code.
  Meter(std::size_t threads, std::size_t instructions) : code_(instructions), visits_(threads * instructions) {}

  /// Lane `thread` asks for `size` bytes at `address` by instruction `pc`; once for each time it gets there.
  void note(std::size_t thread, std::size_t pc, std::uint64_t address, std::uint32_t size, bool shared, bool writes);
  /// Adds the block's requests up.
  void end_block(fake_cuda::Metered& to);

 private:
  struct Request {
    std::vector<std::uint64_t> addresses;
    std::uint32_t size = 0;
    bool shared = false, writes = false;
  };
  struct Key {
    std::size_t warp, pc;
    std::uint32_t visit;
    auto operator<=>(const Key&) const = default;
  };

  std::size_t code_;
  std::vector<std::uint32_t> visits_;
  std::map<Key, Request> requests_;
};

}  // namespace ptx
