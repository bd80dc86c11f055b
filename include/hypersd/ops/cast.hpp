// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/packing.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>

namespace hypersd::ops {

/// Elements converted to `U`: rounded to nearest even for 16-bit types, truncated for integers. If U is T, the result
/// shares the storage of `t`.
template <Scalar U, class T, class D>
Tensor<U, D> cast(const Tensor<T, D>& t) {
  if constexpr (std::same_as<T, U>) {
    return t;
  } else {
    Tensor<U, D> out(t.shape());
    map_into(out, Identity{}, t);
    return out;
  }
}

/// The elements as float, exactly, and row-major.
inline Tensor<float, Cpu> widen(const ConstantTensor& t) {
  const backend::Elements<float> elements(t);
  if (t.strip() > 0) return backend::unpacked(elements, t.dim(0), t.shape().numel_from(1)).reshape(t.shape());
  Tensor<float, Cpu> out(t.shape());
  parallel_for(t.size(), 65536, [&](std::int64_t begin, std::int64_t end) {
    elements.from(begin).copy(end - begin, out.data() + begin);
  });
  return out;
}

/// The elements of a weight [out, ...] in strips, the order in which matmuls of this processor read them: `linear` and
/// `conv2d` have the same bits with them, and need not pack the weight at each call. `w` itself if there are too few
/// rows for that, or if it is in strips already.
inline ConstantTensor packed(const ConstantTensor& w) {
  constexpr std::int64_t least_rows = 32;
  if (w.strip() > 0 || w.rank() < 2 || w.dim(0) < least_rows || w.size() == 0) return w;
  const std::int64_t rows = w.dim(0), depth = w.shape().numel_from(1), width = backend::gemm_kernel<float>().columns;
  const std::int64_t strips = (rows + width - 1) / width;
  const auto pack = [&]<class T>(const T* from) {
    const Tensor<T, Cpu> to(Shape{strips, depth, width});
    parallel_for(strips, std::max<std::int64_t>(1, 65536 / (width * depth)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t s = begin; s < end; ++s) {
        const T* const first = from + s * width * depth;
        const std::int64_t valid = std::min(width, rows - s * width);
        T* out = to.data() + s * width * depth;
        if constexpr (std::same_as<T, float>) {
          backend::pack_rows<float>(first, depth, valid, static_cast<int>(width), depth, out);
        } else {
          for (std::int64_t k = 0; k < depth; ++k, out += width)
            for (std::int64_t r = 0; r < width; ++r) out[r] = first[std::min(r, valid - 1) * depth + k];
        }
      }
    });
    return ConstantTensor(w.shape(), std::make_shared<Tensor<T, Cpu>>(to), to.data(), static_cast<int>(width));
  };
  if (!w.narrow()) return pack(w.floats());
  return w.is_half() ? pack(reinterpret_cast<const half*>(w.bits()))
                     : pack(reinterpret_cast<const bfloat16*>(w.bits()));
}

}  // namespace hypersd::ops
