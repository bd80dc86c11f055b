// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <type_traits>
#include <utility>
#include <vector>

namespace hypersd::diffusion {

/// Rows of one number a sample, gathered on the host and copied to the device at once: what a whole run, or an
/// iteration of training, multiplies by, so that its steps copy nothing.
template <Real X, Device D>
class SampleTable {
 public:
  explicit SampleTable(std::int64_t batch) : batch_(batch) {}

  /// Appends the row `value(b)`, b = 0 ... batch - 1, and returns its number.
  template <class F>
  requires std::is_invocable_r_v<double, F, std::size_t>
  int add(F&& value) {
    for (std::int64_t b = 0; b < batch_; ++b) values_.push_back(static_cast<X>(value(static_cast<std::size_t>(b))));
    return rows_++;
  }
  /// The same number for every sample.
  int add(double value) {
    return add([value](std::size_t) { return value; });
  }
  /// After the last `add`.
  void upload() {
    table_ = Tensor<X, D>::from(Shape{rows_, batch_}, values_);
    values_.clear();
  }
  /// All rows, [rows, B].
  [[nodiscard]] const Tensor<X, D>& tensor() const { return table_; }
  /// Row `i` as a tensor [B].
  [[nodiscard]] Tensor<X, D> row(int i) const { return table_.slice(i, i + 1).reshape(Shape{batch_}); }

 private:
  std::int64_t batch_;
  int rows_ = 0;
  std::vector<X> values_;
  Tensor<X, D> table_;
};

}  // namespace hypersd::diffusion
