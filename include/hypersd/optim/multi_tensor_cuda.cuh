// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cub/block/block_reduce.cuh>
#include <hypersd/core/storage_cuda.cuh>
#include <hypersd/optim/multi_tensor_cpu.hpp>
#include <type_traits>

namespace hypersd::optim::backend {

namespace detail {

inline constexpr int multi_tensor_threads = 256;
inline constexpr std::int64_t multi_tensor_block = 8192;  ///< elements of one thread block

/// The part of one segment that a thread block works on.
struct BlockTask {
  std::int64_t segment, begin, end;
};

template <class S>
std::vector<BlockTask> block_tasks(std::span<const S> segments) {
  std::vector<BlockTask> tasks;
  for (std::size_t i = 0; i < segments.size(); ++i)
    for (std::int64_t begin = 0; begin < segments[i].size; begin += multi_tensor_block)
      tasks.push_back({static_cast<std::int64_t>(i), begin, std::min(segments[i].size, begin + multi_tensor_block)});
  return tasks;
}

/// A device copy of a host table, freed in stream order.
template <class X>
std::shared_ptr<void> upload(const X* data, std::size_t n) {
  static_assert(std::is_trivially_copyable_v<X>, "functors of multi_update travel to the device as bytes");
  auto memory = Memory<Cuda>::allocate(n * sizeof(X));
  Memory<Cuda>::copy_from_host(memory.get(), data, n * sizeof(X));
  return memory;
}

template <class T, std::size_t N, class F, std::size_t... K>
__device__ void update_element(const Segment<T, N, F>& s, std::int64_t i, std::index_sequence<K...>) {
  s.f(s.data[K][i]...);
}

template <class T, std::size_t N, class F>
__global__ void multi_update_kernel(const Segment<T, N, F>* segments, const BlockTask* tasks) {
  const BlockTask task = tasks[blockIdx.x];
  const Segment<T, N, F> s = segments[task.segment];
  for (std::int64_t i = task.begin + threadIdx.x; i < task.end; i += multi_tensor_threads)
    update_element(s, i, std::make_index_sequence<N>{});
}

template <class T, class F>
__global__ void multi_sum_kernel(double* partial, const Segment<T, 1, F>* segments, const BlockTask* tasks) {
  using Reduce = cub::BlockReduce<double, multi_tensor_threads>;
  __shared__ typename Reduce::TempStorage scratch;
  const BlockTask task = tasks[blockIdx.x];
  const Segment<T, 1, F> s = segments[task.segment];
  double total = 0;
  for (std::int64_t i = task.begin + threadIdx.x; i < task.end; i += multi_tensor_threads) total += s.f(s.data[0][i]);
  total = Reduce(scratch).Sum(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

}  // namespace detail

/// One launch over all segments; a thread block takes a piece of one segment.
template <class T, std::size_t N, class F>
void multi_update(const Cuda&, std::span<const Segment<T, N, F>> segments) {
  const auto tasks = detail::block_tasks(segments);
  if (tasks.empty()) return;
  const auto device_segments = detail::upload(segments.data(), segments.size());
  const auto device_tasks = detail::upload(tasks.data(), tasks.size());
  hypersd::detail::launch("multi_update", {static_cast<unsigned>(tasks.size()), detail::multi_tensor_threads},
                          detail::multi_update_kernel<T, N, F>,
                          static_cast<const Segment<T, N, F>*>(device_segments.get()),
                          static_cast<const detail::BlockTask*>(device_tasks.get()));
}

/// Block sums on the device, added on the host in order. Waits for the stream.
template <class T, class F>
double multi_sum(const Cuda&, std::span<const Segment<T, 1, F>> segments) {
  const auto tasks = detail::block_tasks(segments);
  if (tasks.empty()) return 0;
  const auto device_segments = detail::upload(segments.data(), segments.size());
  const auto device_tasks = detail::upload(tasks.data(), tasks.size());
  const auto partial = Memory<Cuda>::allocate(tasks.size() * sizeof(double));
  hypersd::detail::launch("multi_sum", {static_cast<unsigned>(tasks.size()), detail::multi_tensor_threads},
                          detail::multi_sum_kernel<T, F>, static_cast<double*>(partial.get()),
                          static_cast<const Segment<T, 1, F>*>(device_segments.get()),
                          static_cast<const detail::BlockTask*>(device_tasks.get()));
  std::vector<double> sums(tasks.size());
  Memory<Cuda>::copy_to_host(sums.data(), partial.get(), sums.size() * sizeof(double));
  double total = 0;
  for (const double s : sums) total += s;
  return total;
}

}  // namespace hypersd::optim::backend
