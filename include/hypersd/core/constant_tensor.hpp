// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/core/tensor.hpp>
#include <memory>
#include <utility>

namespace hypersd {

/// A constant tensor in host memory: a weight of float, `half` or `bfloat16` as a file stores it, or in strips, the
/// order in which matmuls read it (`ops::packed`). Operations of layers take it in place of a float weight and widen
/// elements of 16 bits, which is exact, while they read them. A handle: copies share the memory. Threads may use it at
/// the same time.
class ConstantTensor {
 public:
  /// An undefined tensor: no elements, `defined()` is false.
  ConstantTensor() = default;
  /// Elements that `owner` keeps alive, for example a mapped file, at `data`: shape.numel() of them, row-major. With
  /// `strip` > 0 they are in strips of that many rows of a matrix [shape[0], K], the last one filled up: element (r, k)
  /// is data[(r / strip K + k) strip + r % strip].
  template <Scalar T>
  requires Narrow<T> || std::same_as<T, float> ConstantTensor(const Shape& shape, std::shared_ptr<const void> owner,
                                                              const T* data, int strip = 0)
      : shape_(shape),
        owner_(std::move(owner)),
        data_(data),
        strip_(strip),
        item_(sizeof(T)),
        half_(std::same_as<T, half>),
        defined_(true) {}
  /// The elements of `tensor`, whose storage it shares.
  template <Scalar T>
  explicit ConstantTensor(const Tensor<T, Cpu>& tensor)
      : ConstantTensor(tensor.shape(), std::make_shared<Tensor<T, Cpu>>(tensor), tensor.data()) {}

  [[nodiscard]] bool defined() const { return defined_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  /// Extent of axis i; negative i counts from the end.
  [[nodiscard]] std::int64_t dim(int i) const { return shape_[i]; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  /// Number of elements.
  [[nodiscard]] std::int64_t size() const { return defined_ ? shape_.numel() : 0; }
  /// Whether the elements have 16 bits.
  [[nodiscard]] bool narrow() const { return item_ == sizeof(std::uint16_t); }
  /// Whether the elements are `half`; else they are `bfloat16` or float.
  [[nodiscard]] bool is_half() const { return half_; }
  /// The bits of elements of 16 bits.
  [[nodiscard]] const std::uint16_t* bits() const { return static_cast<const std::uint16_t*>(data_); }
  /// Float elements.
  [[nodiscard]] const float* floats() const { return static_cast<const float*>(data_); }
  /// Rows of a strip; 0 if the order is row-major.
  [[nodiscard]] int strip() const { return strip_; }
  /// Bytes of the elements.
  [[nodiscard]] std::int64_t bytes() const {
    const std::int64_t rows = shape_.rank() > 0 ? shape_[0] : 1;
    const std::int64_t filled = strip_ > 0 ? (rows + strip_ - 1) / strip_ * strip_ - rows : 0;
    return item_ * (size() + filled * (rows > 0 ? size() / rows : 0));
  }
  /// The same elements with another shape. Throws ShapeError unless it has as many, and as many rows if they are in
  /// strips.
  [[nodiscard]] ConstantTensor reshape(const Shape& shape) const {
    require<ShapeError>(shape.numel() == size() && (strip_ == 0 || (shape.rank() > 0 && shape[0] == shape_[0])),
                        "reshape of ", shape_, " to ", shape);
    ConstantTensor out = *this;
    out.shape_ = shape;
    return out;
  }

 private:
  Shape shape_{0};
  std::shared_ptr<const void> owner_;
  const void* data_ = nullptr;
  int strip_ = 0;
  std::int64_t item_ = 0;
  bool half_ = false, defined_ = false;
};

}  // namespace hypersd
