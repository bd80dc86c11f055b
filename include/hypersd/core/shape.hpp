// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <initializer_list>
#include <ostream>
#include <string>

namespace hypersd {

/// Extents of a tensor, row-major, rank 0 to 6, stored inline. A value type.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  /// Throws ShapeError for more than `max_rank` extents or a negative one.
  Shape(std::initializer_list<std::int64_t> dims) {
    for (const std::int64_t n : dims) push_back(n);
  }
  template <class It>
  Shape(It first, It last) {
    for (; first != last; ++first) push_back(static_cast<std::int64_t>(*first));
  }

  [[nodiscard]] int rank() const { return rank_; }
  /// Extent `i`; negative `i` counts from the end.
  [[nodiscard]] std::int64_t operator[](int i) const {
    const int j = i < 0 ? i + rank_ : i;
    require<ShapeError>(j >= 0 && j < rank_, "axis ", i, " of shape ", *this);
    return dims_[static_cast<std::size_t>(j)];
  }
  /// Number of elements; 1 for rank 0. Throws ShapeError beyond 2^63 - 1.
  [[nodiscard]] std::int64_t numel() const { return numel_from(0); }
  /// Product of the extents from axis `first` on. Throws ShapeError beyond 2^63 - 1.
  [[nodiscard]] std::int64_t numel_from(int first) const {
    std::int64_t n = 1;
    bool fits = true;
    for (int i = first; i < rank_; ++i)
      fits = fits && !__builtin_mul_overflow(n, dims_[static_cast<std::size_t>(i)], &n);
    require<ShapeError>(fits, "shape ", *this, " is too large: its number of elements exceeds 2^63 - 1");
    return n;
  }
  /// Whether a tensor of this shape is possible: the product of the non-zero extents, times `element_bytes`, is below
  /// 2^63. Then no product of a subset of the extents overflows.
  [[nodiscard]] bool fits(std::int64_t element_bytes = 1) const {
    std::int64_t n = element_bytes;
    bool fits = true;
    for (const std::int64_t extent : *this) fits = fits && (extent == 0 || !__builtin_mul_overflow(n, extent, &n));
    return fits;
  }
  /// The same shape with extent `i` (negative counts from the end) set to `n`.
  [[nodiscard]] Shape with(int i, std::int64_t n) const {
    Shape out = *this;
    const int j = i < 0 ? i + rank_ : i;
    require<ShapeError>(j >= 0 && j < rank_ && n >= 0, "axis ", i, " = ", n, " in shape ", *this);
    out.dims_[static_cast<std::size_t>(j)] = n;
    return out;
  }
  void push_back(std::int64_t n) {
    require<ShapeError>(rank_ < max_rank, "a shape has at most ", max_rank, " axes");
    require<ShapeError>(n >= 0, "negative extent ", n);
    dims_[static_cast<std::size_t>(rank_++)] = n;
  }
  [[nodiscard]] const std::int64_t* begin() const { return dims_.data(); }
  [[nodiscard]] const std::int64_t* end() const { return dims_.data() + rank_; }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[static_cast<std::size_t>(i)] != o.dims_[static_cast<std::size_t>(i)]) return false;
    return true;
  }
  /// Text such as `[2, 8, 8, 4]`.
  [[nodiscard]] std::string str() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[static_cast<std::size_t>(i)]);
    return s + "]";
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.str(); }

 private:
  std::array<std::int64_t, max_rank> dims_{};
  int rank_ = 0;
};

}  // namespace hypersd
