// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <hypersd/core/device.hpp>
#include <hypersd/core/error.hpp>
#include <memory>
#include <type_traits>
#include <utility>

/// \file
/// Work that is recorded once and then replayed, with everything fixed but the contents of the tensors it reads.

namespace hypersd {

/// Recorded work of device `D`. A handle: copies share the recording.
///
/// On `Cuda` the constructor calls `work` once while the thread's stream is captured: nothing is computed, and what
/// would be enqueued becomes a CUDA graph. Each `launch()` enqueues that graph as a whole and returns. On `Cpu` the
/// constructor calls nothing, and each `launch()` calls `work`. So that both do the same,
/// - `work` must do the same each time, apart from the contents of the tensors that it reads, which may be overwritten
///   (`copy_from`, `Memory<D>::copy_from_host`) between launches. What it does on the host (counting steps, drawing a
///   `Stream`, reporting) happens on `Cuda` once, when it is recorded;
/// - it must not wait for the GPU (`item()`, `to_vector()`, `to<Cpu>()`) nor copy from the host (`Tensor::from`,
///   `to<Cuda>()`): both throw DeviceError in the constructor.
///
/// Memory: tensors that `work` allocates belong to the graph. One that it leaves behind, assigned to a variable
/// outside, holds the result of the latest launch, nothing before the first. Tensors of before that `work` lets go stay
/// allocated as long as the graph, and `work` itself lives as long, with what it holds.
///
/// Libraries make what they need at their first use (cuBLAS its kernels), so do the same once before recording it.
///
/// The constructor throws DeviceError, and whatever `work` throws; the thread is then as it was before.
template <Device D>
class Graph {
  static_assert(!std::derived_from<D, Cuda>,
                "graphs on Cuda need a CUDA translation unit: compile this file with nvcc");

 public:
  /// Nothing recorded: `defined()` is false.
  Graph() = default;
  template <std::invocable F>
  requires(!std::same_as<std::remove_cvref_t<F>, Graph>) explicit Graph(F&& work)
      : work_([held = std::make_shared<std::decay_t<F>>(std::forward<F>(work))] { (void)(*held)(); }) {}

  [[nodiscard]] bool defined() const { return static_cast<bool>(work_); }
  /// Does the work, on `Cuda` in the order of the calling thread's stream. Throws DeviceError where nothing is
  /// recorded.
  void launch() const {
    require<DeviceError>(defined(), "launch of a graph in which nothing is recorded");
    work_();
  }
  /// Kernels of one launch; 0 on `Cpu`.
  [[nodiscard]] std::int64_t kernels() const { return 0; }

 private:
  std::function<void()> work_;
};

}  // namespace hypersd

#if HYPERSD_HAS_CUDA
#include <hypersd/core/graph_cuda.cuh>
#endif
