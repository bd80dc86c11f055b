// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/mixture.hpp>
#include <hypersd/diffusion/process.hpp>
#include <span>
#include <utility>
#include <vector>

/// \file
/// A teacher without training error: for data from a Gaussian mixture the optimal denoiser has a closed form at every
/// noise level, since noising keeps it a mixture.

namespace hypersd::diffusion {

/// The optimal denoiser of a mixture as a network of process `Pr`: its predictions for x [B, ...] of as many elements a
/// sample as the mixture has dimensions. The condition is `Unconditional`, or a tensor [B] of class numbers, negative
/// ones standing for no class.
template <DiffusionProcess Pr = Discrete<>>
class AnalyticDenoiser {
 public:
  using process = Pr;
  AnalyticDenoiser(Pr of, Mixture mixture) : process_(std::move(of)), mixture_(std::move(mixture)) {}

  [[nodiscard]] const Pr& process_value() const { return process_; }
  [[nodiscard]] const Mixture& mixture() const { return mixture_; }

  template <class T>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Unconditional&) const {
    return predict(x, t, [](std::int64_t) { return -1; });
  }
  template <class T>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Tensor<T>& labels) const {
    require<ShapeError>(x.rank() > 0 && labels.size() == x.dim(0), "analytic denoiser: ", labels.size(),
                        " labels for a batch of shape ", x.shape());
    return predict(x, t, [&](std::int64_t b) { return static_cast<int>(labels[b]); });
  }
  /// No class for any sample.
  template <class T>
  [[nodiscard]] Tensor<T> null_condition(const Tensor<T>& labels) const {
    return Tensor<T>::full(labels.shape(), T(-1));
  }
  [[nodiscard]] Unconditional null_condition(const Unconditional&) const { return {}; }

  /// `n` samples of the data, rows of [n, dimensions].
  template <class T>
  [[nodiscard]] Tensor<T> data(std::int64_t n, Stream s) const {
    const auto d = static_cast<std::int64_t>(mixture_.dimensions());
    Tensor<T> out(Shape{n, d});
    for (std::int64_t i = 0; i < n; ++i)
      mixture_.draw(s, static_cast<std::uint64_t>(i), std::span<T>(out.data() + i * d, static_cast<std::size_t>(d)));
    return out;
  }

 private:
  template <class T, class Label>
  Tensor<T> predict(const Tensor<T>& x, const Tensor<T>& t, Label&& label) const {
    const std::size_t d = mixture_.dimensions();
    require<ShapeError>(x.rank() > 0 && x.dim(0) == t.size() && x.size() == t.size() * static_cast<std::int64_t>(d),
                        "analytic denoiser of ", d, " dimensions: x ", x.shape(), ", t ", t.shape());
    Tensor<T> out(x.shape());
    parallel_for(t.size(), 256, [&](std::int64_t begin, std::int64_t end) {
      std::vector<double> x0(d), eps(d);
      for (std::int64_t b = begin; b < end; ++b) {
        const Level l = process_.level(process_.process_time(static_cast<double>(t[b])));
        const Target w = process_.prediction().target(l);
        const T* first = x.data() + b * static_cast<std::int64_t>(d);
        const Unscaled<T> from{first, unscale(l)};
        if (w.x0 != 0) mixture_.x0(from, l, x0, label(b));
        if (w.eps != 0) mixture_.eps(from, l, eps, label(b));
        T* to = out.data() + b * static_cast<std::int64_t>(d);
        for (std::size_t j = 0; j < d; ++j) to[j] = static_cast<T>(w.x0 * x0[j] + w.eps * eps[j]);
      }
    });
    return out;
  }

  /// x_t from the input of a network.
  template <class T>
  struct Unscaled {
    const T* x;
    double factor;
    double operator[](std::size_t j) const { return static_cast<double>(x[j]) * factor; }
  };
  [[nodiscard]] double unscale(const Level& l) const {
    if constexpr (Pr::scales_input)
      return 1 / process_.prediction().input_scale(l);
    else
      return 1;
  }

  Pr process_;
  Mixture mixture_;
};

}  // namespace hypersd::diffusion
