// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <hypersd/core/error.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace hypersd::detail {

/// Large blocks of host memory. Segments from the system are split into parts, and free neighbours are merged, so that
/// memory which tensors of one size release serves those of any other. Thread-safe.
class LargeBlocks {
 public:
  /// Blocks from this size on should come from here.
  static constexpr std::size_t least = std::size_t{1} << 20U;

  /// Uninitialised memory, aligned to 64 bytes at least. Throws DeviceError if memory runs out.
  void* take(std::size_t bytes) {
    const std::size_t size = rounded(bytes, std::size_t{1} << 16U);
    const std::lock_guard<std::mutex> lock(mutex_);
    auto at = free_.lower_bound({size, 0});
    if (at == free_.end()) {
      release_segments();  // all too small
      at = add_segment(size);
    }
    Part* part = at->second;
    if (part->size >= size + least) split(*part, size);
    auto& entry = used_[part->data];
    entry = free_.extract(at);
    free_bytes_ -= part->size;
    return part->data;
  }
  /// Returns what `take` gave.
  void give(void* p) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = used_.find(p);
    auto entry = std::move(at->second);  // kept, so that nothing has to be allocated
    used_.erase(at);
    Part* part = entry.mapped();
    free_bytes_ += part->size;
    if (part->after != nullptr && is_free(*part->after)) merge_next(*part);
    if (part->before != nullptr && is_free(*part->before)) {
      part = part->before;
      free_.erase(key(*part));
      merge_next(*part);
    }
    entry.key() = key(*part);
    entry.mapped() = part;
    free_.insert(std::move(entry));
  }
  /// Returns segments that nothing uses to the system.
  void release() {
    const std::lock_guard<std::mutex> lock(mutex_);
    release_segments();
  }
  /// Bytes that nothing uses.
  [[nodiscard]] std::size_t free_bytes() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return free_bytes_;
  }
  /// Number of segments that came from the system so far.
  [[nodiscard]] std::size_t segments() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return segments_;
  }

 private:
  /// A part of a segment and its neighbours there.
  struct Part {
    char* data;
    std::size_t size;
    Part *before, *after;
  };
  using Key = std::pair<std::size_t, std::uintptr_t>;

  static std::size_t rounded(std::size_t size, std::size_t step) { return (size + step - 1) / step * step; }
  static Key key(const Part& part) { return {part.size, reinterpret_cast<std::uintptr_t>(part.data)}; }
  [[nodiscard]] bool is_free(const Part& part) const { return free_.count(key(part)) != 0; }

  /// Cuts a free part behind `size` bytes; its key stays as it is.
  void split(Part& part, std::size_t size) {
    auto rest = std::make_unique<Part>(Part{part.data + size, part.size - size, &part, part.after});
    free_.emplace(key(*rest), rest.get());
    if (part.after != nullptr) part.after->before = rest.get();
    part.after = rest.release();
    part.size = size;
  }
  /// Adds the next part of the segment to `part`.
  void merge_next(Part& part) {
    Part* next = part.after;
    free_.erase(key(*next));
    part.size += next->size;
    part.after = next->after;
    if (next->after != nullptr) next->after->before = &part;
    delete next;
  }
  void release_segments() {
    for (auto at = free_.begin(); at != free_.end();) {
      Part* part = at->second;
      if (part->before != nullptr || part->after != nullptr) {
        ++at;
        continue;
      }
      free_bytes_ -= part->size;
      std::free(part->data);
      delete part;
      at = free_.erase(at);
    }
  }
  /// Pages that are not touched cost nothing, so segments are larger than the first block.
  std::map<Key, Part*>::iterator add_segment(std::size_t least_size) {
    constexpr std::size_t step = std::size_t{2} << 20U, usual = std::size_t{64} << 20U;
    const std::size_t size = rounded(least_size < usual ? usual : least_size, step);
    auto* data = size < least_size ? nullptr : static_cast<char*>(std::aligned_alloc(step, size));
    if (data == nullptr) fail<DeviceError>("out of memory: ", least_size, " bytes requested from the CPU");
    ++segments_;
    free_bytes_ += size;
    Part* part = new Part{data, size, nullptr, nullptr};
    return free_.emplace(key(*part), part).first;
  }

  std::mutex mutex_;
  std::map<Key, Part*> free_;
  std::unordered_map<void*, std::map<Key, Part*>::node_type> used_;
  std::size_t free_bytes_ = 0, segments_ = 0;
};

}  // namespace hypersd::detail
