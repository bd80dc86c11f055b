// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <initializer_list>
#include <ostream>
#include <string>

namespace hypersd {

/// Extents of a tensor, row-major, rank 0 to 6, stored inline.
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
  /// Number of elements; 1 for rank 0.
  [[nodiscard]] std::int64_t numel() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[static_cast<std::size_t>(i)];
    return n;
  }
  /// Product of the extents from axis `first` on.
  [[nodiscard]] std::int64_t numel_from(int first) const {
    std::int64_t n = 1;
    for (int i = first; i < rank_; ++i) n *= dims_[static_cast<std::size_t>(i)];
    return n;
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
