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
/// Work that is recorded once and replayed: addresses, shapes and scalars are fixed, contents of tensors may change.

namespace hypersd {

/// Recorded work of device `D`. A handle: copies share the recording.
///
/// On `Cuda` the constructor calls `work` once while the thread's stream is captured: kernels become nodes of a CUDA
/// graph and are not executed. Each `launch()` enqueues that graph and returns. On `Cpu` the constructor calls nothing,
/// and each `launch()` calls `work`. For the same results on both devices,
/// - `work` must do the same in each call. Contents of the tensors that it reads may change between launches
///   (`copy_from`, `Memory<D>::copy_from_host`). Its host code (counting steps, drawing a `Stream`, reporting) runs on
///   `Cuda` only once, during capture;
/// - `work` must not synchronize (`item()`, `to_vector()`, `to<Cpu>()`) or copy from the host (`Tensor::from`,
///   `to<Cuda>()`): both throw DeviceError in the constructor.
///
/// Memory: tensors that `work` allocates belong to the graph. A tensor that `work` assigns to a variable outside holds
/// the result of the latest launch, and is not initialised before the first. Tensors allocated earlier whose last
/// handle `work` destroys stay allocated until the graph is destroyed. So does `work` itself.
///
/// Libraries initialise themselves at first use (cuBLAS loads kernels), so call `work` once before recording it.
///
/// The constructor throws DeviceError and the exceptions of `work`; the thread's stream is then as before.
///
/// Not thread-safe: launches of one graph need external synchronisation. Different graphs are independent.
template <Device D>
class Graph {
  static_assert(!std::derived_from<D, Cuda>,
                "graphs on Cuda need a CUDA translation unit: compile this file with nvcc");

 public:
  /// An empty graph: `defined()` is false.
  Graph() = default;
  template <std::invocable F>
  requires(!std::same_as<std::remove_cvref_t<F>, Graph>) explicit Graph(F&& work)
      : work_([held = std::make_shared<std::decay_t<F>>(std::forward<F>(work))] { (void)(*held)(); }) {}

  [[nodiscard]] bool defined() const { return static_cast<bool>(work_); }
  /// Executes the work, on `Cuda` in order of the calling thread's stream. Throws DeviceError for an empty graph.
  void launch() const {
    require<DeviceError>(defined(), "launch of an empty graph");
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
