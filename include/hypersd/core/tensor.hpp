// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/device.hpp>
#include <hypersd/core/error.hpp>
#include <hypersd/core/shape.hpp>
#include <hypersd/core/storage.hpp>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>
#if HYPERSD_HAS_CUDA
#include <hypersd/core/storage_cuda.cuh>
#endif

namespace hypersd {

/// Contiguous row-major array on one device. A handle: copies share the storage, `clone()` does not, and constness is
/// that of the handle. Views of leading dimensions and reshapes do not copy.
///
/// Threads may use different handles of one storage at the same time, and read its elements. Writing elements while
/// another thread reads or writes them, and changing one handle from several threads, need external synchronisation.
template <Scalar T, Device D = Cpu>
class Tensor {
 public:
  using value_type = T;
  using device_type = D;

  /// An undefined tensor: no storage, `defined()` is false.
  Tensor() = default;
  /// Uninitialised elements. Throws ShapeError if `shape` takes 2^63 bytes or more, DeviceError if memory runs out.
  explicit Tensor(const Shape& shape)
      : shape_(shape),
        size_(checked_size(shape)),
        storage_(Memory<D>::allocate(static_cast<std::size_t>(size_) * sizeof(T))),
        data_(static_cast<T*>(storage_.get())),
        defined_(true) {}

  static Tensor full(const Shape& shape, T value) {
    Tensor out(shape);
    out.fill(value);
    return out;
  }
  static Tensor zeros(const Shape& shape) { return full(shape, T(0)); }
  static Tensor ones(const Shape& shape) { return full(shape, T(1)); }
  /// Copies `values`, whose length must be `shape.numel()`.
  static Tensor from(const Shape& shape, std::span<const T> values) {
    require<ShapeError>(static_cast<std::int64_t>(values.size()) == shape.numel(), "Tensor::from: ", values.size(),
                        " values for shape ", shape);
    Tensor out(shape);
    Memory<D>::copy_from_host(out.data_, values.data(), values.size() * sizeof(T));
    return out;
  }
  static Tensor from(const Shape& shape, const std::vector<T>& values) {
    return from(shape, std::span<const T>(values));
  }
  static Tensor from(const Shape& shape, std::initializer_list<T> values) {
    return from(shape, std::span<const T>(values.begin(), values.size()));
  }

  /// A tensor on memory of others, without a copy. `data` points to the elements, contiguous and row-major, and is
  /// valid as long as `storage` lives; only an empty tensor may have none. It is never `unique()`, since others may
  /// read the memory. Throws ShapeError if `data` is missing or not aligned for `T`.
  static Tensor adopt(const Shape& shape, std::shared_ptr<void> storage, T* data) {
    Tensor out;
    out.size_ = checked_size(shape);
    require<ShapeError>(data != nullptr || out.size_ == 0, "Tensor::adopt: no data for shape ", shape);
    require<ShapeError>(reinterpret_cast<std::uintptr_t>(data) % alignof(T) == 0,
                        "Tensor::adopt: the address of the data", " is not a multiple of ", alignof(T));
    out.shape_ = shape;
    out.storage_ = std::move(storage);
    out.data_ = data;
    out.defined_ = out.adopted_ = true;
    return out;
  }

  [[nodiscard]] bool defined() const { return defined_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  [[nodiscard]] std::int64_t dim(int i) const { return shape_[i]; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] T* data() const { return data_; }

  /// Element by flat index, host tensors only.
  T& operator[](std::int64_t i) const requires std::derived_from<D, Cpu> { return data_[i]; }
  [[nodiscard]] std::span<T> span() const requires std::derived_from<D, Cpu> {
    return {data_, static_cast<std::size_t>(size_)};
  }
  /// The only element of a one-element tensor, copied to the host.
  [[nodiscard]] T item() const {
    require<ShapeError>(size_ == 1, "item() of shape ", shape_);
    T out;
    Memory<D>::copy_to_host(&out, data_, sizeof(T));
    return out;
  }
  /// All elements, copied to the host.
  [[nodiscard]] std::vector<T> to_vector() const {
    std::vector<T> out(static_cast<std::size_t>(size_));
    Memory<D>::copy_to_host(out.data(), data_, out.size() * sizeof(T));
    return out;
  }

  /// True if no other handle shares the storage, and it was not adopted.
  [[nodiscard]] bool unique() const { return storage_.use_count() <= 1 && !adopted_; }

  /// A view with another shape and the same number of elements.
  [[nodiscard]] Tensor reshape(const Shape& shape) const {
    require<ShapeError>(shape.numel() == size_, "reshape of ", shape_, " to ", shape);
    Tensor out = *this;
    out.shape_ = shape;
    return out;
  }
  /// A view of rows [begin, end) of the leading dimension.
  [[nodiscard]] Tensor slice(std::int64_t begin, std::int64_t end) const {
    require<ShapeError>(rank() > 0 && 0 <= begin && begin <= end && end <= shape_[0], "slice [", begin, ", ", end,
                        ") of shape ", shape_);
    Tensor out = *this;
    out.shape_ = shape_.with(0, end - begin);
    out.size_ = out.shape_.numel();
    out.data_ = data_ + begin * shape_.numel_from(1);
    return out;
  }
  /// A copy with storage of its own.
  [[nodiscard]] Tensor clone() const {
    Tensor out(shape_);
    Memory<D>::copy(out.data_, data_, bytes());
    return out;
  }
  /// Overwrites the elements with those of `other`; shapes must agree.
  void copy_from(const Tensor& other) const {
    require<ShapeError>(shape_ == other.shape_, "copy_from: ", other.shape_, " into ", shape_);
    Memory<D>::copy(data_, other.data_, bytes());
  }
  void fill(T value) const {
    if constexpr (std::derived_from<D, Cpu>) {
      std::fill_n(data_, size_, value);
    } else {
      Memory<D>::fill(data_, value, size_);
    }
  }
  /// The same elements on device `E`; shares storage when `E` is the same device, or another tag of `Cuda` with the
  /// same memory.
  template <Device E>
  [[nodiscard]] Tensor<T, E> to() const {
    if constexpr (std::same_as<E, D>) {
      return *this;
    } else if constexpr (std::derived_from<D, Cuda> && std::derived_from<E, Cuda>) {
      static_assert(std::same_as<typename Memory<D>::Space, typename Memory<E>::Space>,
                    "no copy between these devices: go through Cpu");
      Tensor<T, E> out;
      out.shape_ = shape_;
      out.size_ = size_;
      out.storage_ = storage_;
      out.data_ = data_;
      out.defined_ = defined_;
      out.adopted_ = adopted_;
      return out;
    } else {
      Tensor<T, E> out(shape_);
      if constexpr (std::derived_from<D, Cpu>) {
        Memory<E>::copy_from_host(out.data(), data_, bytes());
      } else {
        Memory<D>::copy_to_host(out.data(), data_, bytes());
      }
      return out;
    }
  }
  /// Elements converted to `U`, host tensors only (elsewhere: ops::cast).
  template <Scalar U>
  [[nodiscard]] Tensor<U, D> cast() const requires std::derived_from<D, Cpu> {
    Tensor<U, D> out(shape_);
    for (std::int64_t i = 0; i < size_; ++i) out[i] = converted<U>(data_[i]);
    return out;
  }

 private:
  template <Scalar U, Device E>
  friend class Tensor;

  static std::int64_t checked_size(const Shape& shape) {
    require<ShapeError>(shape.fits(sizeof(T)), "tensor of shape ", shape, " with elements of ", sizeof(T),
                        " bytes is too large: it would take 2^63 bytes or more");
    return shape.numel();
  }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }

  Shape shape_{0};
  std::int64_t size_ = 0;
  std::shared_ptr<void> storage_;
  T* data_ = nullptr;
  bool defined_ = false;
  bool adopted_ = false;
};

/// Numbers [B] that accompany the samples of a tensor of T: times, factors, statistics.
template <Scalar T, Device D = Cpu>
using Numbers = Tensor<Accumulator<T>, D>;

/// Throws ShapeError naming `op` unless both shapes agree.
inline void require_same_shape(const char* op, const Shape& a, const Shape& b) {
  require<ShapeError>(a == b, op, ": shapes ", a, " and ", b, " differ");
}

}  // namespace hypersd
