// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/sample_table.hpp>
#include <tuple>
#include <utility>
#include <vector>

/// \file
/// What an objective copies to the device before an iteration, at once: see `diffusion::PlannedObjective`.

namespace hypersd::distill {

/// Noise of an iteration and rows of one number a sample. Numbers that belong together (coefficients of x and of a
/// prediction; time and input scale of a network) are in two rows, one after the other.
template <class T, class D>
struct SamplePlan {
  Tensor<T, D> noise;  ///< [B, ...]
  diffusion::SampleTable<Accumulator<T>, D> numbers;

  /// Takes noise and numbers of another plan into its own tensors.
  void copy_from(const SamplePlan& other) const {
    noise.copy_from(other.noise);
    numbers.tensor().copy_from(other.numbers.tensor());
  }
  [[nodiscard]] Numbers<T, D> row(int i) const { return numbers.row(i); }
  /// Rows `first` and `first + 1` as coefficients.
  [[nodiscard]] diffusion::SampleForms<T, D> form(int first) const { return {row(first), row(first + 1)}; }
  /// As what a network of `Process` is given.
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] diffusion::NetworkTimes<T, D> times(int first) const {
    return {row(first), Process::scales_input ? row(first + 1) : Numbers<T, D>{}};
  }
};

/// The plan of noise [B, ...] and `values(b)`, the numbers of sample b as an array.
template <class T, class D, class F>
SamplePlan<T, D> sample_plan(Tensor<T, D> noise, F&& values) {
  const std::int64_t batch = noise.dim(0);
  std::vector<decltype(values(std::size_t{}))> all;
  for (std::int64_t b = 0; b < batch; ++b) all.push_back(values(static_cast<std::size_t>(b)));
  diffusion::SampleTable<Accumulator<T>, D> numbers(batch);
  for (std::size_t row = 0; row < std::tuple_size_v<decltype(values(std::size_t{}))>; ++row)
    numbers.add([&](std::size_t b) { return all[b][row]; });
  numbers.upload();
  return {std::move(noise), std::move(numbers)};
}

}  // namespace hypersd::distill
