// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <memory>
#include <utility>

namespace hypersd {

/// A constant tensor of 16-bit elements in host memory, `half` or `bfloat16`: a weight as a file stores it. Operations
/// of layers take it in place of a float weight and widen its elements, which is exact, while they read them. A handle:
/// copies share the memory. Threads may use it at the same time.
class NarrowTensor {
 public:
  /// An undefined tensor: no elements, `defined()` is false.
  NarrowTensor() = default;
  /// Elements that `owner` keeps alive, for example a mapped file: shape.numel() of them at `data`.
  template <Narrow T>
  NarrowTensor(const Shape& shape, std::shared_ptr<const void> owner, const T* data)
      : shape_(shape),
        owner_(std::move(owner)),
        bits_(reinterpret_cast<const std::uint16_t*>(data)),
        half_(std::same_as<T, half>),
        defined_(true) {
    static_assert(sizeof(T) == sizeof(std::uint16_t));
  }
  /// The elements of `tensor`, whose storage it shares.
  template <Narrow T>
  explicit NarrowTensor(const Tensor<T, Cpu>& tensor)
      : NarrowTensor(tensor.shape(), std::make_shared<Tensor<T, Cpu>>(tensor), tensor.data()) {}

  [[nodiscard]] bool defined() const { return defined_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  /// Extent of axis i; negative i counts from the end.
  [[nodiscard]] std::int64_t dim(int i) const { return shape_[i]; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  /// Number of elements.
  [[nodiscard]] std::int64_t size() const { return defined_ ? shape_.numel() : 0; }
  /// Whether the elements are `half`; else they are `bfloat16`.
  [[nodiscard]] bool is_half() const { return half_; }
  /// The bits of the elements.
  [[nodiscard]] const std::uint16_t* bits() const { return bits_; }
  /// The same elements with another shape. Throws ShapeError unless it has as many.
  [[nodiscard]] NarrowTensor reshape(const Shape& shape) const {
    require<ShapeError>(shape.numel() == size(), "reshape of ", shape_, " to ", shape);
    NarrowTensor out = *this;
    out.shape_ = shape;
    return out;
  }

 private:
  Shape shape_{0};
  std::shared_ptr<const void> owner_;
  const std::uint16_t* bits_ = nullptr;
  bool half_ = false, defined_ = false;
};

}  // namespace hypersd
