// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/core/philox.hpp>
#include <vector>

namespace hypersd::data {

/// Element `i` of the random permutation of 0 to n-1 of (`key`, `epoch`), computed without the permutation: a Feistel
/// network with Philox as its round function on the next power of four, repeated until the value is below n.
inline std::int64_t permuted(Stream key, std::uint64_t epoch, std::int64_t n, std::int64_t i) {
  require<OptionError>(n >= 1 && i >= 0 && i < n && n <= std::int64_t{1} << 60, "permuted: element ", i, " of ", n);
  unsigned half = 1;
  while (std::uint64_t{1} << (2 * half) < static_cast<std::uint64_t>(n)) ++half;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  auto value = static_cast<std::uint64_t>(i);
  do {
    std::uint64_t left = value >> half, right = value & mask;
    for (std::uint32_t round = 0; round < 8; ++round) {
      const Words4 counter{static_cast<std::uint32_t>(right), static_cast<std::uint32_t>(epoch),
                           static_cast<std::uint32_t>(epoch >> 32U) ^ (round << 24U),
                           static_cast<std::uint32_t>(key.id) ^ static_cast<std::uint32_t>(key.id >> 32U)};
      const Words4 mixed =
          philox4x32(counter, static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32U));
      const std::uint64_t next = left ^ ((mixed.x | std::uint64_t{mixed.y} << 32U) & mask);
      left = right;
      right = next;
    }
    value = left << half | right;
  } while (value >= static_cast<std::uint64_t>(n));
  return static_cast<std::int64_t>(value);
}

/// The items of each training step. Each epoch is a new permutation and contains each item once; a batch may span two
/// epochs. A pure function of (seed, step), so a resumed run continues with the same items. Thread-safe.
class Batches {
 public:
  /// Throws OptionError for fewer than one item or a batch below one.
  Batches(std::int64_t items, std::int64_t batch, std::uint64_t seed)
      : items_(items), batch_(batch), key_(stream(seed, "batches")) {
    require<OptionError>(items >= 1, "batches: ", items, " items");
    require<OptionError>(batch >= 1 && batch <= std::int64_t{1} << 32, "batches: a batch of ", batch);
  }

  [[nodiscard]] std::int64_t batch() const { return batch_; }
  /// The items of step `step` >= 0.
  [[nodiscard]] std::vector<std::int64_t> operator()(std::int64_t step) const { return (*this)(step, 0, batch_); }
  /// Elements [first, first + count) of that batch: the part of one process.
  [[nodiscard]] std::vector<std::int64_t> operator()(std::int64_t step, std::int64_t first, std::int64_t count) const {
    require<OptionError>(step >= 0 && step < (std::int64_t{1} << 30), "batches: step ", step);
    require<OptionError>(0 <= first && 0 <= count && first + count <= batch_, "batches: elements [", first, ", ",
                         first + count, ") of a batch of ", batch_);
    std::vector<std::int64_t> out(static_cast<std::size_t>(count));
    std::int64_t position = step * batch_ + first;
    for (std::int64_t& item : out) {
      item = permuted(key_, static_cast<std::uint64_t>(position / items_), items_, position % items_);
      ++position;
    }
    return out;
  }
  /// Epochs finished before step `step`, as a fraction.
  [[nodiscard]] double epochs(std::int64_t step) const {
    return static_cast<double>(step) * static_cast<double>(batch_) / static_cast<double>(items_);
  }

 private:
  std::int64_t items_, batch_;
  Stream key_;
};

}  // namespace hypersd::data
