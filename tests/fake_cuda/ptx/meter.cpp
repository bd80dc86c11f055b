// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <fake_cuda/ptx/meter.hpp>
#include <set>

namespace ptx {

namespace {

constexpr std::uint64_t sector = 32, word = 4, banks = 32;

/// Sectors that hold the bytes asked for, and as many as those bytes would fill.
void global(const std::vector<std::uint64_t>& addresses, std::uint32_t size, fake_cuda::Traffic& to) {
  std::set<std::uint64_t> touched, wanted;
  for (const std::uint64_t a : addresses) {
    for (std::uint64_t b = a / sector; b <= (a + size - 1) / sector; ++b) touched.insert(b);
    wanted.insert(a);
  }
  ++to.requests;
  to.moved += static_cast<std::int64_t>(touched.size());
  to.least += static_cast<std::int64_t>((wanted.size() * size + sector - 1) / sector);
}

/// A bank gives one word a time; lanes that want the same word share it. Wide accesses go by halves and quarters of a
/// warp.
void shared(const std::vector<std::uint64_t>& addresses, std::uint32_t size, fake_cuda::Traffic& to) {
  const std::size_t together = size <= word ? 32 : 32 * word / size;
  ++to.requests;
  for (std::size_t begin = 0; begin < addresses.size(); begin += together) {
    std::array<std::set<std::uint64_t>, banks> words;
    for (std::size_t i = begin; i < std::min(begin + together, addresses.size()); ++i)
      for (std::uint64_t w = addresses[i] / word; w <= (addresses[i] + size - 1) / word; ++w)
        words[w % banks].insert(w);
    std::size_t most = 0;
    for (const auto& of_bank : words) most = std::max(most, of_bank.size());
    to.moved += static_cast<std::int64_t>(most);
    ++to.least;
  }
}

}  // namespace

void Meter::note(std::size_t thread, std::size_t pc, std::uint64_t address, std::uint32_t size, bool is_shared,
                 bool writes) {
  Request& r = requests_[{thread / 32, pc, visits_[thread * code_ + pc]++}];
  r.addresses.push_back(address);
  r.size = size;
  r.shared = is_shared;
  r.writes = writes;
}

void Meter::end_block(fake_cuda::Metered& to) {
  for (const auto& [key, r] : requests_) {
    if (r.shared)
      shared(r.addresses, r.size, to.shared);
    else
      global(r.addresses, r.size, r.writes ? to.writes : to.reads);
  }
  requests_.clear();
  std::fill(visits_.begin(), visits_.end(), 0U);
}

}  // namespace ptx
