// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/device.hpp>
#include <hypersd/core/parallel.hpp>
#include <span>
#include <utility>
#include <vector>

namespace hypersd::optim {

/// N equally long arrays that one update runs over together (parameter, gradient, moments, say), with its functor.
template <class T, std::size_t N, class F>
struct Segment {
  T* data[N];  // a plain array: std::array has no device members
  std::int64_t size;
  F f;
};

namespace backend {

namespace detail {

/// Elements a task: a few microseconds of streaming.
inline constexpr std::int64_t multi_tensor_chunk = 16384;

/// Where each segment begins in the concatenation of all of them, and its end.
template <class S>
std::vector<std::int64_t> offsets_of(std::span<const S> segments) {
  std::vector<std::int64_t> offsets{0};
  for (const S& s : segments) offsets.push_back(offsets.back() + s.size);
  return offsets;
}

/// Calls piece(segment, begin, end) for the parts of [begin, end) of the concatenation.
template <class S, class Piece>
void for_each_piece(std::span<const S> segments, const std::vector<std::int64_t>& offsets, std::int64_t begin,
                    std::int64_t end, Piece&& piece) {
  auto i = static_cast<std::size_t>(std::upper_bound(offsets.begin(), offsets.end(), begin) - offsets.begin()) - 1;
  for (; begin < end; ++i) {
    const std::int64_t stop = std::min(end, offsets[i + 1]);
    if (stop > begin) piece(segments[i], begin - offsets[i], stop - offsets[i]);
    begin = std::max(begin, stop);
  }
}

}  // namespace detail

/// f(data[0][i], data[1][i], ...) for every element of every segment, as one parallel loop over the concatenation:
/// many small tensors cost no more than one large one.
template <class T, std::size_t N, class F>
void multi_update(const Cpu&, std::span<const Segment<T, N, F>> segments) {
  const auto offsets = detail::offsets_of(segments);
  parallel_for(offsets.back(), detail::multi_tensor_chunk, [&](std::int64_t begin, std::int64_t end) {
    detail::for_each_piece(segments, offsets, begin, end, [](const auto& s, std::int64_t from, std::int64_t to) {
      [&]<std::size_t... K>(std::index_sequence<K...>) {
        auto loop = [f = s.f, from, to](auto*... x) {
          for (std::int64_t i = from; i < to; ++i) f(x[i]...);
        };
        loop(s.data[K]...);
      }(std::make_index_sequence<N>{});
    });
  });
}

/// Sum of f(data[0][i]) over all elements of all segments, in double and in an order that the sizes alone fix.
template <class T, class F>
double multi_sum(const Cpu&, std::span<const Segment<T, 1, F>> segments) {
  constexpr std::int64_t lanes = 16, grain = detail::multi_tensor_chunk;
  const auto offsets = detail::offsets_of(segments);
  std::vector<double> partial(static_cast<std::size_t>((offsets.back() + grain - 1) / grain), 0.0);
  parallel_for(offsets.back(), grain, [&](std::int64_t begin, std::int64_t end) {
    double total = 0;
    detail::for_each_piece(segments, offsets, begin, end, [&](const auto& s, std::int64_t from, std::int64_t to) {
      const T* x = s.data[0];
      double acc[lanes] = {};
      std::int64_t i = from;
      for (; i + lanes <= to; i += lanes)
        for (std::int64_t l = 0; l < lanes; ++l) acc[l] += s.f(x[i + l]);
      for (; i < to; ++i) acc[0] += s.f(x[i]);
      for (const double a : acc) total += a;
    });
    partial[static_cast<std::size_t>(begin / grain)] = total;
  });
  double total = 0;
  for (const double p : partial) total += p;
  return total;
}

}  // namespace backend

}  // namespace hypersd::optim
