// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/packing.hpp>
#include <utility>

/// \file
/// Matmul by blocks: a block of A is packed once and stays in the L2 cache, strips of B are packed into the L1 cache as
/// they are needed. Blocks, tasks and the order of every sum are functions of the shape, so the number of threads
/// changes no bit.

namespace hypersd::ops::backend {

/// A matrix of rows i and summed columns p: element (i, p) is data[i stride + p], or data[p stride + i] if
/// `transposed`; elements of 16 bits are widened while they are packed. Or one that is never in memory as a whole:
/// `pack_part` then packs the parts that are needed. Or one in strips of the kernel's columns, already packed.
template <class T>
struct GemmOperand {
  /// Packs columns [p, p + count) of rows [i, i + valid) as [count, width]; what rows from `valid` on get is not used.
  using Pack = void (*)(const void* source, std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width,
                        std::int64_t count, T* to);

  Elements<T> data;
  std::int64_t stride = 0;
  bool transposed = false;
  const void* source = nullptr;
  Pack pack_part = nullptr;
  std::int64_t row = 0, column = 0;  // where the part of `source` or of the strips in `data` starts
  std::int64_t depth = 0;            // summed columns of all strips; 0 if there are none

  static GemmOperand computed(const void* source, Pack pack) { return {{}, 0, false, source, pack}; }
  /// Strips of `width` rows and `depth` summed columns.
  static GemmOperand packed(const Elements<T>& strips, int width, std::int64_t depth) {
    GemmOperand out{strips, width, false};
    out.depth = depth;
    return out;
  }
  /// A weight [rows, depth], row-major or in strips of the kernel's columns.
  static GemmOperand weight(const Elements<T>& w, std::int64_t depth) {
    return w.strip > 0 ? packed(w, w.strip, depth) : GemmOperand{w, depth, false};
  }

  /// The part from row i and column p on.
  [[nodiscard]] GemmOperand at(std::int64_t i, std::int64_t p) const {
    GemmOperand part = *this;
    part.row += i;
    part.column += p;
    if (depth == 0) part.data = data.from(transposed ? p * stride + i : i * stride + p);
    return part;
  }
  /// Whether there is a matrix in memory, in any order.
  [[nodiscard]] bool in_memory() const { return pack_part == nullptr; }
  /// Whether columns can be read in place.
  [[nodiscard]] bool columns_in_place() const { return transposed && !data.widened(); }
  /// Whether rows can be read in place.
  [[nodiscard]] bool rows_in_place() const { return in_memory() && !transposed && depth == 0 && !data.widened(); }
  /// Whether it is packed, and need not be widened.
  [[nodiscard]] bool packed_in_place() const { return depth > 0 && !data.widened(); }
  /// The packed strip from this part's first row and column on.
  [[nodiscard]] Elements<T> strip() const { return data.from(row * depth + column * stride); }
  /// Asks for part `i` of `parts` of the memory of `rows` rows of `count` columns.
  __attribute__((always_inline)) void prefetch(std::int64_t rows, std::int64_t count, std::int64_t i,
                                               std::int64_t parts) const {
    if (depth > 0) {
      const std::int64_t first = i * count / parts;
      if (rows > 0) strip().from(first * stride).prefetch(((i + 1) * count / parts - first) * stride);
      return;
    }
    if (!in_memory()) return;
    const std::int64_t lines = transposed ? count : rows, length = transposed ? rows : count;
    for (std::int64_t line = i * lines / parts; line < (i + 1) * lines / parts; ++line)
      data.from(line * stride).prefetch(length);
  }
  /// Packs the first `valid` <= `width` rows of `count` columns as [count, width].
  void pack(std::int64_t valid, std::int64_t width, std::int64_t count, T* to) const {
    if (pack_part != nullptr) return pack_part(source, row, column, valid, width, count, to);
    if (depth > 0) return strip().copy(count * width, to);
    if (!transposed) return pack_rows(data, stride, valid, static_cast<int>(width), count, to);
    with_tile_width(static_cast<int>(width),
                    [&](auto constant) { pack_columns<constant>(data, stride, valid, count, to); });
  }
};

/// What is added to the result: element (i, j) is data[i row + j column]; a bias has row 0, nothing has both 0.
template <class T>
struct GemmAddend {
  const T* data;
  std::int64_t row, column;

  static GemmAddend nothing() {
    static constexpr T zeros[GemmKernel<T>::most_columns] = {};
    return {zeros, 0, 0};
  }
  [[nodiscard]] GemmAddend at(std::int64_t i, std::int64_t j) const {
    return {data + i * row + j * column, row, column};
  }
};

/// c [m, n] = alpha A [m, k] B [n, k]^T + addend; element (i, j) of c is at c + i row + j column. The addend may be c.
template <class T>
struct GemmCall {
  std::int64_t m, n, k;
  GemmOperand<T> a, b;
  T alpha;
  GemmAddend<T> addend;
  T* c;
  std::int64_t row, column = 1;

  /// Rows [i0, i1) and columns [j0, j1) of the result.
  [[nodiscard]] GemmCall part(std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1) const {
    return {i1 - i0, j1 - j0, k, a.at(i0, 0), b.at(j0, 0), alpha, addend.at(i0, j0), c + i0 * row + j0 * column,
            row,     column};
  }
  /// The same as a matmul of the transposes.
  [[nodiscard]] GemmCall swapped() const {
    return {n, m, k, b, a, alpha, {addend.data, addend.column, addend.row}, c, column, row};
  }
};

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

/// Most summed columns of a block, and those of the blocks of k columns: parts as equal as fours allow.
inline constexpr std::int64_t gemm_most_depth = 320;
constexpr std::int64_t gemm_depth(std::int64_t k) {
  return k <= gemm_most_depth ? k : ceil_div(ceil_div(k, ceil_div(k, gemm_most_depth)), 4) * 4;
}

/// One tile of `rows` x `columns` <= the kernel's. Incomplete and transposed ones go through memory of a tile's size.
template <class T>
void gemm_tile(const GemmKernel<T>& kernel, std::int64_t rows, std::int64_t columns, const TileOperands<T>& in, T alpha,
               GemmAddend<T> addend, T* c, std::int64_t c_row, std::int64_t c_column) {
  if (rows == kernel.rows && columns == kernel.columns && c_column == 1)
    return kernel.multiply(in, alpha, addend.data, addend.row, c, c_row);
  alignas(64) T tile[GemmKernel<T>::most_rows * GemmKernel<T>::most_columns] = {};
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* from = addend.data + i * addend.row;
    if (addend.column == 1)
      std::copy_n(from, columns, tile + i * kernel.columns);
    else
      for (std::int64_t j = 0; j < columns; ++j) tile[i * kernel.columns + j] = from[j * addend.column];
  }
  kernel.multiply(in, alpha, tile, kernel.columns, tile, kernel.columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    T* to = c + i * c_row;
    if (c_column == 1)
      std::copy_n(tile + i * kernel.columns, columns, to);
    else
      for (std::int64_t j = 0; j < columns; ++j) to[j * c_column] = tile[i * kernel.columns + j];
  }
}

/// Uses of a packed tile or strip up to which reading it in place costs less; of a tile of rows, whose packing is a
/// transposition; and the longest stride of such rows: those far apart share few sets of the cache.
inline constexpr std::int64_t direct_uses = 4, direct_row_uses = 8, direct_row_stride = 512;
/// Bytes of an operand up to which it stays in a cache without being asked for.
inline constexpr std::int64_t near_bytes = 65536;

/// Whether a matmul has so few rows or columns that packing would cost more than it saves. A function of the shape.
template <class T>
bool few_dots(const GemmCall<T>& g) {
  return g.a.in_memory() && !g.a.transposed && g.b.in_memory() && !g.b.transposed && g.k >= 16 &&
         (g.m <= 8 || g.n <= dot_rows);
}

/// A matmul of few rows or columns by dot products, on the calling thread.
template <class T>
void gemm_dots(const GemmKernel<T>& kernel, const GemmCall<T>& g) {
  // Rows of 16-bit elements are widened once: all of A, those of B as they are needed; and those of a strip of B.
  const std::int64_t width_b = g.b.depth > 0 ? g.b.stride : dot_rows;
  const std::int64_t size_a = g.a.data.widened() ? g.m * g.k : 0,
                     size_b = g.b.data.widened() || g.b.depth > 0 ? width_b * g.k : 0;
  const Tensor<T, Cpu> memory(Shape{size_a + size_b});
  const auto widen_rows = [&](const GemmOperand<T>& x, std::int64_t first, std::int64_t count, T* to) {
    for (std::int64_t i = 0; i < count; ++i) x.at(first + i, 0).data.copy(g.k, to + i * g.k);
    return std::pair<const T*, std::int64_t>(to, g.k);
  };
  const auto [a, next_a] =
      size_a > 0 ? widen_rows(g.a, 0, g.m, memory.data()) : std::pair(g.a.data.in_place, g.a.stride);
  for (std::int64_t j = 0; j < g.n; j += dot_rows) {
    const std::int64_t width = std::min<std::int64_t>(dot_rows, g.n - j);
    if (g.b.depth > 0 && j % width_b == 0)
      unpack_strip(g.b.at(j, 0).strip(), static_cast<int>(width_b), std::min(width_b, g.n - j), g.k,
                   memory.data() + size_a, g.k);
    const auto [b, next_b] = g.b.depth > 0
                                 ? std::pair<const T*, std::int64_t>(memory.data() + size_a + j % width_b * g.k, g.k)
                             : size_b > 0 ? widen_rows(g.b, j, width, memory.data() + size_a)
                                          : std::pair(g.b.at(j, 0).data.in_place, g.b.stride);
    for (std::int64_t i = 0; i < g.m; ++i) {
      T sums[dot_rows];
      if (width == dot_rows)
        kernel.dots(g.k, a + i * next_a, b, next_b, sums);
      else
        for (std::int64_t r = 0; r < width; ++r) {
          T same[dot_rows];
          kernel.dots(g.k, a + i * next_a, b + r * next_b, 0, same);
          sums[r] = same[0];
        }
      const GemmAddend<T> x = g.addend.at(i, j);
      T* y = g.c + i * g.row + j * g.column;
      for (std::int64_t r = 0; r < width; ++r) y[r * g.column] = x.data[r * x.column] + g.alpha * sums[r];
    }
  }
}

/// A matmul on the calling thread, by dot products or by tiles.
template <class T>
void gemm_block(const GemmCall<T>& g, bool by_dots) {
  const GemmKernel<T> kernel = gemm_kernel<T>();
  if (by_dots) return gemm_dots(kernel, g);
  const std::int64_t rows = kernel.rows, columns = kernel.columns;
  const std::int64_t tiles = ceil_div(g.m, rows), strips = ceil_div(g.n, columns);
  const bool direct_rows = g.a.rows_in_place() && strips <= direct_row_uses && g.a.stride <= direct_row_stride;
  const bool direct_a = direct_rows || (g.a.columns_in_place() && strips <= direct_uses);
  const bool direct_b = g.b.columns_in_place() && tiles <= direct_uses;
  const bool far = g.n * g.k * static_cast<std::int64_t>(sizeof(T)) > near_bytes;
  const std::int64_t step = std::max<std::int64_t>(1, gemm_depth(g.k));
  const std::int64_t size = (tiles * rows + columns) * step;
  constexpr std::int64_t small = 16384 / sizeof(T);
  alignas(64) T local[small];  // without a visit to the pool
  const Tensor<T, Cpu> memory(Shape{size > small ? size : 0});
  T* const packed = size > small ? memory.data() : local;
  T* const strip = packed + tiles * rows * step;
  GemmAddend<T> addend = g.addend;
  for (std::int64_t p = 0; p == 0 || p < g.k; p += step) {
    const std::int64_t depth = std::min(step, g.k - p);
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t height = std::min(rows, g.m - t * rows);
      if (!direct_a || height < rows) g.a.at(t * rows, p).pack(height, rows, depth, packed + t * rows * depth);
    }
    for (std::int64_t j = 0; j < g.n; j += columns) {
      const std::int64_t width = std::min(columns, g.n - j);
      const bool direct = direct_b && width == columns;
      TileOperands<T> in{depth, nullptr, strip, rows, columns};
      if (g.b.packed_in_place())
        in.b = g.b.at(j, p).strip().in_place;
      else if (direct)
        in = {depth, nullptr, g.b.at(j, p).data.in_place, rows, g.b.stride};
      else
        g.b.at(j, p).pack(width, columns, depth, strip);
      // The next strip comes into the cache meanwhile.
      const GemmOperand<T> next = g.b.at(j + columns, p);
      const std::int64_t next_width = std::clamp<std::int64_t>(g.n - j - columns, 0, columns);
      for (std::int64_t t = 0; t < tiles; ++t) {
        if (far) next.prefetch(next_width, depth, t, tiles);
        const std::int64_t height = std::min(rows, g.m - t * rows);
        const bool from_memory = direct_a && height == rows;
        in.a = from_memory ? g.a.at(t * rows, p).data.in_place : packed + t * rows * depth;
        in.a_step = from_memory ? g.a.stride : rows;
        in.by_rows = from_memory && direct_rows;
        gemm_tile(kernel, height, width, in, g.alpha, addend.at(t * rows, j), g.c + t * rows * g.row + j * g.column,
                  g.row, g.column);
      }
    }
    addend = {g.c, g.row, g.column};
  }
}

/// How a matmul is divided into tasks: blocks of rows and columns, and slabs of k that are summed in order. Slabs are a
/// function of the shape; blocks, which change no sum, are no smaller than the threads need: each packs its rows of A.
struct GemmTasks {
  std::int64_t rows, columns, depth;  // of a task

  GemmTasks(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t batch, int tile_rows, int threads)
      : rows(m), depth(k) {
    constexpr std::int64_t most_rows = 192, most_tasks = 32, least_work = std::int64_t{1} << 20;
    const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    const auto wanted = static_cast<std::int64_t>(
        std::clamp(work * static_cast<double>(batch) / static_cast<double>(least_work), 1.0, double{most_tasks}));
    const std::int64_t down = ceil_div(m, most_rows), have = batch * down;
    if (down > 1) rows = ceil_div(ceil_div(m, down), tile_rows) * tile_rows;
    const std::int64_t most = have * ceil_div(n, divide(n, have, wanted));
    if (most < 8 && most < wanted && batch == 1 && k >= 1024)
      depth = std::max<std::int64_t>(512, ceil_div(k, ceil_div(wanted, most)));
    columns = divide(n, have, threads > 1 ? std::min<std::int64_t>(wanted, 4 * threads) : 1);
  }

 private:
  /// Columns of a task so that `have` tasks of all n become about `wanted`.
  static std::int64_t divide(std::int64_t n, std::int64_t have, std::int64_t wanted) {
    constexpr std::int64_t least = 128;
    if (have >= wanted || n <= least) return n;
    return std::max(least, ceil_div(ceil_div(n, ceil_div(wanted, have)), 32) * 32);
  }
};

/// The strips of `g.b`, or an empty tensor if they exist, or if packing them once for all blocks of rows would save
/// little or take much memory.
template <class T>
Tensor<T, Cpu> gemm_strips(const GemmKernel<T>& kernel, const GemmCall<T>& g, std::int64_t blocks) {
  constexpr std::int64_t least_blocks = 3, most_bytes = 16 << 20;
  const std::int64_t columns = kernel.columns, strips = ceil_div(g.n, columns), padded = strips * columns;
  if (blocks < least_blocks || g.b.packed_in_place() ||
      g.k > most_bytes / static_cast<std::int64_t>(sizeof(T)) / padded)
    return Tensor<T, Cpu>(Shape{0});
  Tensor<T, Cpu> out(Shape{padded * g.k});
  const std::int64_t step = std::min(g.k, gemm_most_depth);  // what a computed operand packs at once
  parallel_for(strips, std::max<std::int64_t>(1, 65536 / (columns * std::max<std::int64_t>(1, g.k))),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t j = begin * columns; j < end * columns; j += columns)
                   for (std::int64_t p = 0; p < g.k; p += step)
                     g.b.at(j, p).pack(std::min(columns, g.n - j), columns, std::min(step, g.k - p),
                                       out.data() + j * g.k + p * columns);
               });
  return out;
}

/// `batch` matmuls on all threads; operands, addend and result of each follow those of the one before at the given
/// distances.
template <class T>
void gemm_parallel(const GemmCall<T>& g, std::int64_t batch = 1, std::int64_t next_a = 0, std::int64_t next_b = 0,
                   std::int64_t next_c = 0) {
  if (g.m <= 0 || g.n <= 0 || batch <= 0) return;
  constexpr std::int64_t few = 6;  // columns that fill more of a tile as rows
  if (g.n <= few && g.n < g.m) return gemm_parallel(g.swapped(), batch, next_b, next_a, next_c);
  const GemmKernel<T> kernel = gemm_kernel<T>();
  const GemmTasks tasks(g.m, g.n, g.k, batch, kernel.rows, num_threads());
  const std::int64_t down = ceil_div(g.m, tasks.rows), across = ceil_div(g.n, tasks.columns);
  const std::int64_t slabs = g.k > 0 ? ceil_div(g.k, tasks.depth) : 1;
  const bool by_dots = few_dots(g);  // as a function of the whole shape
  const Tensor<T, Cpu> partial(Shape{slabs > 1 ? slabs * g.m * g.n : 0});
  const Tensor<T, Cpu> strips = gemm_strips(kernel, g, batch == 1 && slabs == 1 && !by_dots ? down : 1);
  const std::int64_t work =
      std::max<std::int64_t>(1, tasks.rows * tasks.columns * std::min<std::int64_t>(tasks.depth, 1 << 20));
  parallel_for(batch * slabs * down * across, std::max<std::int64_t>(1, (std::int64_t{1} << 18) / work),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t j = task % across * tasks.columns, i = task / across % down * tasks.rows;
                   const std::int64_t outer = task / (across * down);  // sample or slab: never both
                   GemmCall<T> one = g;
                   if (slabs > 1) {
                     const std::int64_t p = outer * tasks.depth;
                     one.k = std::min(tasks.depth, g.k - p);
                     one.a = g.a.at(0, p);
                     one.b = g.b.at(0, p);
                     one.addend = GemmAddend<T>::nothing();
                     one.c = partial.data() + outer * g.m * g.n;
                     one.row = g.n;
                     one.column = 1;
                   } else {
                     if (outer > 0) {
                       one.a.data = g.a.data.from(outer * next_a);
                       one.b.data = g.b.data.from(outer * next_b);
                     }
                     if (strips.size() > 0) one.b = GemmOperand<T>::packed(strips.data(), kernel.columns, g.k);
                     if (g.addend.data == g.c) one.addend.data += outer * next_c;
                     one.c += outer * next_c;
                   }
                   gemm_block(one.part(i, std::min(g.m, i + tasks.rows), j, std::min(g.n, j + tasks.columns)), by_dots);
                 }
               });
  if (slabs <= 1) return;
  parallel_for(g.m, std::max<std::int64_t>(1, 65536 / (g.n * slabs)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* y = g.c + i * g.row;
      const GemmAddend<T> addend = g.addend.at(i, 0);
      for (std::int64_t j = 0; j < g.n; ++j) {
        T sum = addend.data[j * addend.column];
        for (std::int64_t s = 0; s < slabs; ++s) sum += partial[(s * g.m + i) * g.n + j];
        y[j * g.column] = sum;
      }
    }
  });
}

}  // namespace hypersd::ops::backend
