// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/mixture.hpp>
#include <hypersd/diffusion/prediction.hpp>
#include <span>
#include <utility>
#include <vector>

/// \file
/// A teacher without training error: for data from a Gaussian mixture the optimal denoiser has a closed form at every
/// noise level, since noising keeps it a mixture.

namespace hypersd::diffusion {

/// The optimal denoiser of a mixture as a network: predictions of type `P` for x [B, ...] of as many elements a sample
/// as the mixture has dimensions. The condition is `Unconditional`, or a tensor [B] of class numbers, negative ones
/// standing for no class.
template <Prediction P = Epsilon>
class AnalyticDenoiser {
 public:
  AnalyticDenoiser(NoiseTable table, Mixture mixture) : table_(std::move(table)), mixture_(std::move(mixture)) {}

  [[nodiscard]] const NoiseTable& table() const { return table_; }
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
        const Level l = table_.level(static_cast<int>(t[b]));
        const Target w = P::target(l);
        const std::span<const T> from(x.data() + b * static_cast<std::int64_t>(d), d);
        if (w.x0 != 0) mixture_.x0(from, l, x0, label(b));
        if (w.eps != 0) mixture_.eps(from, l, eps, label(b));
        T* to = out.data() + b * static_cast<std::int64_t>(d);
        for (std::size_t j = 0; j < d; ++j) to[j] = static_cast<T>(w.x0 * x0[j] + w.eps * eps[j]);
      }
    });
    return out;
  }

  NoiseTable table_;
  Mixture mixture_;
};

}  // namespace hypersd::diffusion
