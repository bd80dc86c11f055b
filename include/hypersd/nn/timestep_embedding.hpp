// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/linear.hpp>
#include <optional>

namespace hypersd::nn {

/// One sinusoidal feature: arguments (value, frequency, 1 for cosine or 0 for sine).
struct Sinusoid {
  template <class T>
  HYPERSD_HD T operator()(T value, T frequency, T cosine) const {
    const T angle = value * frequency;
    return cosine > T(0.5) ? std::cos(angle) : std::sin(angle);
  }
};

/// Training times of a batch, [B] as numbers (fractions allowed), as networks take them. Under `autograd::jvp` a
/// variable with a tangent can stand in for them.
template <Scalar T, Device D = Cpu>
struct Times {
  Numbers<T, D> value;
  Numbers<T, D> tangent{};  ///< undefined: zero

  Times(Numbers<T, D> t) : value(std::move(t)) {}              // NOLINT(google-explicit-constructor)
  Times(const Var<Accumulator<T>, D>& t) : value(t.value()) {  // NOLINT(google-explicit-constructor)
    if (t.has_tangent()) tangent = t.tangent();
  }
};

/// d sinusoid / d value times a tangent.
struct SinusoidTangent {
  template <class T>
  HYPERSD_HD T operator()(T value, T tangent, T frequency, T cosine) const {
    const T angle = value * frequency;
    return tangent * frequency * (cosine > T(0.5) ? -std::sin(angle) : std::cos(angle));
  }
};

/// Sinusoidal features of numbers (time steps, picture sizes): with half = dim / 2 and
/// f_i = 10000^(-i / (half - freq_shift)), the features are [cos(v f), sin(v f)], sines first if `!flip_sin_to_cos`.
/// Numbers and frequencies are float32 even for 16-bit types, in which 999 and 1000 may be the same number.
template <Floating T, Device D = Cpu>
class SinusoidalFeatures {
  using A = Accumulator<T>;

 public:
  SinusoidalFeatures() = default;
  /// Throws OptionError unless `dim` is even and 2 or more, and `freq_shift` < dim / 2.
  explicit SinusoidalFeatures(std::int64_t dim, bool flip_sin_to_cos = true, double freq_shift = 0) {
    const std::int64_t half = dim / 2;
    require<OptionError>(dim >= 2 && dim % 2 == 0 && freq_shift < static_cast<double>(half),
                         "sinusoidal features: dim = ", dim, ", freq_shift = ", freq_shift);
    std::vector<A> frequency, cosine;
    for (std::int64_t i = 0; i < dim; ++i) {
      // Rounds at the same places as the reference implementations, because angles reach 1000 radians.
      const A exponent = static_cast<A>(-std::log(10000.0)) * static_cast<A>(i % half);
      frequency.push_back(std::exp(exponent / static_cast<A>(static_cast<double>(half) - freq_shift)));
      cosine.push_back(A((i < half) == flip_sin_to_cos));
    }
    frequency_ = Numbers<T, D>::from(Shape{dim}, frequency);
    cosine_ = Numbers<T, D>::from(Shape{dim}, cosine);
  }
  [[nodiscard]] std::int64_t dim() const { return frequency_.size(); }
  /// values [B] (fractions allowed) -> [B, dim].
  [[nodiscard]] Tensor<T, D> operator()(const Numbers<T, D>& values) const {
    require<ShapeError>(values.rank() == 1, "sinusoidal features: values of shape ", values.shape(), ", [B] needed");
    Tensor<T, D> out(Shape{values.dim(0), dim()});
    ops::map_into(out, Sinusoid{}, ops::per_sample(values), ops::per_channel(frequency_), ops::per_channel(cosine_));
    return out;
  }
  /// The same as a variable, with the tangent of `t` if it has one.
  [[nodiscard]] Var<T, D> operator()(const Times<T, D>& t) const {
    Var<T, D> out((*this)(t.value));
    if (t.tangent.defined()) {
      require_same_shape("tangent of times", t.value.shape(), t.tangent.shape());
      Tensor<T, D> tangent(out.shape());
      ops::map_into(tangent, SinusoidTangent{}, ops::per_sample(t.value), ops::per_sample(t.tangent),
                    ops::per_channel(frequency_), ops::per_channel(cosine_));
      out.set_tangent(std::move(tangent));
    }
    return out;
  }

 private:
  Numbers<T, D> frequency_, cosine_;
};

/// linear, SiLU, linear: the network on top of sinusoidal (or other conditioning) features. With `condition` > 0 it has
/// a second input of that width, which `cond_proj` adds to the features. `cond_proj` starts at zero, so that a network
/// that was trained without it does not change.
template <Scalar T, Device D = Cpu>
struct TimestepEmbedding {
  using value_type = T;
  using device_type = D;

  Linear<T, D> linear_1, linear_2;
  std::optional<Linear<T, D>> cond_proj;

  TimestepEmbedding() = default;
  TimestepEmbedding(std::int64_t in, std::int64_t channels, std::int64_t condition = 0)
      : linear_1(in, channels), linear_2(channels, channels) {
    if (condition <= 0) return;
    cond_proj.emplace(condition, in, false);
    cond_proj->weight = {Shape{in, condition}, Initializer::zeros()};
  }
  /// features [B, in] and, optionally, condition [B, `condition`] -> [B, channels]. Throws OptionError for a condition
  /// if the module has no `cond_proj`.
  Var<T, D> operator()(const Var<T, D>& features, const Var<T, D>& condition = {}) const {
    if (!condition.defined()) return linear_2(autograd::silu(linear_1(features)));
    require<OptionError>(cond_proj.has_value(),
                         "timestep embedding: a condition was given, but the module has no cond_proj");
    return linear_2(autograd::silu(linear_1(autograd::add(features, (*cond_proj)(condition)))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "linear_1", linear_1, "cond_proj", cond_proj, "linear_2", linear_2);
  }
};

}  // namespace hypersd::nn
