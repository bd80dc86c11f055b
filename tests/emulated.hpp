// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/graph.hpp>
#include <hypersd/ops/cpu/compact.hpp>
#include <hypersd/ops/cpu/map.hpp>
#include <hypersd/ops/cpu/matmul.hpp>
#include <hypersd/ops/cpu/random.hpp>
#include <hypersd/ops/cpu/reduce.hpp>
#include <hypersd/ops/cpu/scan.hpp>
#include <hypersd/ops/cpu/sort.hpp>
//
#include <utility>

namespace emulated {

/// A device derived from `Cuda`: to generic code its memory is not host memory.
struct Kernels : hypersd::Cuda {};

/// Whether the work of a graph is executed: a capture refuses copies between host and device.
inline bool in_graph = false;

/// Launches of graphs so far.
inline std::int64_t graphs = 0;

}  // namespace emulated

/// Host memory.
template <>
struct hypersd::Memory<emulated::Kernels> : hypersd::Memory<hypersd::Cpu> {
  template <class T>
  static void fill(T* data, T value, std::int64_t n) {
    std::fill_n(data, n, value);
  }
  static void copy_from_host(void* to, const void* from, std::size_t bytes) {
    require<DeviceError>(!emulated::in_graph, "a copy from the host in the work of a graph");
    Memory<Cpu>::copy_from_host(to, from, bytes);
  }
  static void copy_to_host(void* to, const void* from, std::size_t bytes) {
    require<DeviceError>(!emulated::in_graph, "a copy to the host in the work of a graph");
    Memory<Cpu>::copy_to_host(to, from, bytes);
  }
};

/// Executes its work at every launch.
template <>
class hypersd::Graph<emulated::Kernels> : public hypersd::Graph<hypersd::Cpu> {
 public:
  using hypersd::Graph<hypersd::Cpu>::Graph;

  void launch() const {
    ++emulated::graphs;
    emulated::in_graph = true;
    try {
      Graph<Cpu>::launch();
    } catch (...) {
      emulated::in_graph = false;
      throw;
    }
    emulated::in_graph = false;
  }
};

// Back-ends must be declared before the operation that calls them.
namespace hypersd::ops::backend {

template <class... A>
void map(const emulated::Kernels&, A&&... a) {
  map(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void map_sum(const emulated::Kernels&, A&&... a) {
  map_sum(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void sum_rows(const emulated::Kernels&, A&&... a) {
  sum_rows(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void sum_rows_to_one(const emulated::Kernels&, A&&... a) {
  sum_rows_to_one(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void sort_rows(const emulated::Kernels&, A&&... a) {
  sort_rows(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void top_k_rows(const emulated::Kernels&, A&&... a) {
  top_k_rows(Cpu{}, std::forward<A>(a)...);
}
template <Prefix prefix, class... A>
void scan_rows(const emulated::Kernels&, A&&... a) {
  scan_rows<prefix>(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void select(const emulated::Kernels&, A&&... a) {
  select(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void normal(const emulated::Kernels&, A&&... a) {
  normal(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void uniform(const emulated::Kernels&, A&&... a) {
  uniform(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void gemm(const emulated::Kernels&, A&&... a) {
  gemm(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void batched_gemm(const emulated::Kernels&, A&&... a) {
  batched_gemm(Cpu{}, std::forward<A>(a)...);
}
template <class... A>
void linear(const emulated::Kernels&, A&&... a) {
  linear(Cpu{}, std::forward<A>(a)...);
}

}  // namespace hypersd::ops::backend

#include <hypersd/ops/cuda/affine_step.hpp>
#include <hypersd/ops/cuda/attention.hpp>
#include <hypersd/ops/cuda/conv2d.hpp>
#include <hypersd/ops/cuda/copy.hpp>
#include <hypersd/ops/cuda/gated.hpp>
#include <hypersd/ops/cuda/gather.hpp>
#include <hypersd/ops/cuda/group_norm.hpp>
#include <hypersd/ops/cuda/layer_norm.hpp>
#include <hypersd/ops/cuda/mma.hpp>
#include <hypersd/ops/cuda/resample.hpp>
#include <hypersd/ops/cuda/softmax.hpp>
#include <hypersd/optim/multi_tensor_cuda.hpp>
//
#include <cstring>
#include <memory>
#include <numbers.hpp>
#include <stdexcept>
#include <type_traits>
#include <unordered_map>
#include <vector>

/// \file
/// A device in host memory whose operations are the CUDA kernels, executed thread after thread. Operations without a
/// kernel of the library that runs on the host (maps, sums, matmuls, random numbers, sorting) are the CPU's.

namespace emulated {

/// Reverses the order of the threads between two barriers: a result that depends on it is a race.
inline bool backward = false;

/// Matrix instructions of warps so far: shows whether a kernel uses tensor cores.
inline std::int64_t products = 0;

/// Private and shared variables begin as NaN, so that reads before a write show in the result.
template <class X>
void poison(X* x, std::size_t n) {
  static_assert(std::is_trivially_copyable_v<X>);
  std::memset(static_cast<void*>(x), 0xff, n * sizeof(X));
}

/// A warp's matrix multiply-accumulate. Not in `Block`, so that it is compiled once.
template <class T>
[[gnu::noinline]] void multiply(const hypersd::ops::launch::MmaRegisters* lanes) {
  using namespace hypersd::ops::launch;
  float a[16][16], b[16][8], c[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const MmaRegisters& m = lanes[lane];
    for (int upper = 0; upper < 2; ++upper) {
      for (int r = 0; r < 4; ++r) a[mma_a(lane, r).row][mma_a(lane, r).col + upper] = unpacked<T>(m.a[r], upper == 1);
      for (int r = 0; r < 2; ++r) b[mma_b(lane, r).row + upper][mma_b(lane, r).col] = unpacked<T>(m.b[r], upper == 1);
    }
    for (int i = 0; i < 4; ++i) c[mma_c(lane, i).row][mma_c(lane, i).col] = m.c[i];
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int col = 0; col < 8; ++col) c[row][col] += a[row][k] * b[k][col];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) lanes[lane].c[i] = c[mma_c(lane, i).row][mma_c(lane, i).col];
  ++products;
}

/// ldmatrix of a warp: four matrices from shared memory to registers.
[[gnu::noinline]] inline void hand_out(const hypersd::ops::launch::LdmatrixRegisters* lanes, bool transposed) {
  std::uint16_t m[4][8][8];
  for (int lane = 0; lane < 32; ++lane) std::memcpy(m[lane / 8][lane % 8], lanes[lane].row, 16);
  for (int lane = 0; lane < 32; ++lane) {
    const auto [r, c] = hypersd::ops::launch::ldmatrix_position(lane);
    for (int i = 0; i < 4; ++i) {
      const unsigned low = transposed ? m[i][c][r] : m[i][r][c], high = transposed ? m[i][c + 1][r] : m[i][r][c + 1];
      lanes[lane].to[i] = low | high << 16U;
    }
  }
}

template <int count>
class Block {
 public:
  template <class X>
  class Private {
   public:
    Private() : values_(static_cast<std::size_t>(count)) { poison(values_.data(), values_.size()); }
    X& operator[](int t) { return values_[static_cast<std::size_t>(t)]; }

   private:
    std::vector<X> values_;
  };

  template <class F>
  void each(F&& f) {
    each_unsynchronized(f);
    ++barriers_;
  }
  template <class F>
  void each_unsynchronized(F&& f) {
    for (int i = 0; i < count; ++i) f(backward ? count - 1 - i : i);
  }
  /// ldmatrix of each warp, with checks of the row addresses.
  template <bool transposed, class F>
  void ldmatrix(F&& f) {
    hypersd::ops::launch::LdmatrixRegisters lanes[count];
    for (int t = 0; t < count; ++t) {
      lanes[t] = f(t);
      hypersd::require<std::logic_error>(aligned(lanes[t].row, 16),
                                         "a row of a matrix that is not aligned to 16 bytes");
      read_[lanes[t].row] = barriers_;
    }
    for (int t = 0; t < count; t += 32) hand_out(lanes + t, transposed);
  }
  /// The copies happen in `wait_copies`; until then the destination is NaN. It must not have been read since the last
  /// barrier, since another warp may still be reading it.
  template <class F>
  void copy_async(F&& f) {
    copies_.emplace_back();
    each_unsynchronized([&](int t) {
      f(t, [&]<int bytes>(hypersd::ops::launch::Bytes<bytes>, void* to, const void* from, bool there) {
        static_assert(bytes == 4 || bytes == 16);
        using hypersd::require;
        require<std::logic_error>(aligned(to, bytes) && aligned(from, bytes), "a copy that is not aligned to its size");
        const auto reading = read_.find(to);
        require<std::logic_error>(reading == read_.end() || reading->second != barriers_,
                                  "a copy to what has been read since the last barrier");
        std::memset(to, 0xff, bytes);
        copies_.back().push_back({to, there ? from : nullptr, bytes});
      });
    });
  }
  template <int pending>
  void wait_copies() {
    for (; copies_.size() > pending; copies_.erase(copies_.begin()))
      for (const Copy& c : copies_.front()) c.from ? std::memcpy(c.to, c.from, c.bytes) : std::memset(c.to, 0, c.bytes);
    ++barriers_;
  }
  /// Groups of copies without a wait.
  [[nodiscard]] std::size_t pending_copies() const { return copies_.size(); }
  /// Matrix multiply-accumulate of each warp on the fragments of its lanes.
  template <class T, class F>
  void mma(F&& f) {
    hypersd::ops::launch::MmaRegisters lanes[count];
    for (int t = 0; t < count; ++t) lanes[t] = f(t);
    for (int t = 0; t < count; t += 32) multiply<T>(lanes + t);
  }
  template <class F, class Join>
  void quad_reduce(F&& f, Join&& join) {
    for (int t = 0; t < count; t += 4) {
      const float all = join(join(f(t), f(t + 1)), join(f(t + 2), f(t + 3)));
      for (int i = t; i < t + 4; ++i) f(i) = all;
    }
  }
  template <class X, class F>
  X sum(F&& f) {
    return reduce<X>(f, [](X a, X b) { return static_cast<X>(a + b); });
  }
  template <class X, class F>
  X max(F&& f) {
    return reduce<X>(f, [](X a, X b) { return a > b ? a : b; });
  }

 private:
  struct Copy {
    void* to;
    const void* from;  ///< null: zeros
    std::size_t bytes;
  };
  [[nodiscard]] static bool aligned(const void* p, std::size_t n) {
    return reinterpret_cast<std::uintptr_t>(p) % n == 0;
  }
  /// The tree of the warp shuffles, then the warps in order, as on a GPU.
  template <class X, class F, class Join>
  X reduce(F&& f, Join&& join) {
    std::vector<X> v(static_cast<std::size_t>(count));
    each([&](int t) { v[static_cast<std::size_t>(t)] = f(t); });
    X out{};
    for (std::size_t warp = 0; warp < v.size(); warp += 32) {
      for (std::size_t offset = 16; offset > 0; offset /= 2)
        for (std::size_t lane = 0; lane < 32; ++lane)
          v[warp + lane] = join(v[warp + lane], v[warp + (lane + offset < 32 ? lane + offset : lane)]);
      out = warp == 0 ? v[0] : join(out, v[warp]);
    }
    return out;
  }

  std::vector<std::vector<Copy>> copies_;
  std::unordered_map<const void*, std::int64_t> read_;  ///< by ldmatrix, and after how many barriers
  std::int64_t barriers_ = 0;
};

/// A grid of few thread blocks, so that threads have several elements; 32-bit indices in one order, 64-bit ones in the
/// other.
template <class Kernel>
void run_elements(const Kernels&, const char*, const Kernel& kernel) {
  namespace launch = hypersd::ops::launch;
  const std::int64_t n = kernel.size(), grid = launch::blocks(n, 5);
  for (std::int64_t b = 0; n > 0 && b < grid; ++b) {
    for (std::int64_t t = 0; t < launch::threads; ++t) {
      if (backward)
        launch::run_thread<std::int64_t>(kernel, n, grid, grid - 1 - b, launch::threads - 1 - t);
      else
        launch::run_thread<std::uint32_t>(kernel, n, grid, b, t);
    }
  }
}

template <class Kernel>
void run_blocks(const Kernels&, const char*, const Kernel& kernel) {
  const auto shared = std::make_unique<typename Kernel::Shared>();
  const std::int64_t n = kernel.blocks();
  Block<Kernel::threads> block;  // one for all, as in a grid of one
  for (std::int64_t i = 0; i < n; ++i) {
    poison(shared.get(), 1);
    kernel(block, backward ? n - 1 - i : i, *shared);
  }
  hypersd::require<std::logic_error>(block.pending_copies() == 0, "copies without a wait");
}

using numbers::host;

/// Largest difference between what f(device) gives with `Cpu` and with the kernels; infinity if the order of threads
/// changes a bit of it. `f` returns a vector of host tensors.
template <class F>
double distance_to_cpu(F&& f) {
  const auto expected = f(hypersd::Cpu{});
  backward = true;
  const auto reversed = f(Kernels{});
  backward = false;
  return numbers::repeatable_distance(expected, f(Kernels{}), reversed);
}

}  // namespace emulated

// Attention is compiled in emulated_attention.cpp alone: every network needs it, and its kernels are the largest.
namespace hypersd::ops::backend {

extern template void attention(const emulated::Kernels&, const AttentionGeometry&, const float*, const float*,
                               const float*, float*, float*);
extern template void attention_gradient(const emulated::Kernels&, const AttentionGeometry&, const float*, const float*,
                                        const float*, const float*, const float*, const float*, float*, float*, float*);
extern template void attention(const emulated::Kernels&, const AttentionGeometry&, const half*, const half*,
                               const half*, half*, float*);
extern template void attention_gradient(const emulated::Kernels&, const AttentionGeometry&, const half*, const half*,
                                        const half*, const half*, const half*, const float*, half*, half*, half*);
extern template void attention(const emulated::Kernels&, const AttentionGeometry&, const bfloat16*, const bfloat16*,
                               const bfloat16*, bfloat16*, float*);
extern template void attention_gradient(const emulated::Kernels&, const AttentionGeometry&, const bfloat16*,
                                        const bfloat16*, const bfloat16*, const bfloat16*, const bfloat16*,
                                        const float*, bfloat16*, bfloat16*, bfloat16*);

}  // namespace hypersd::ops::backend
