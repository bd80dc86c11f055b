// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/error.hpp>
#include <hypersd/core/math.hpp>
#include <hypersd/core/philox.hpp>
#include <hypersd/diffusion/level.hpp>
#include <limits>
#include <numbers>
#include <type_traits>
#include <utility>
#include <vector>

namespace hypersd::diffusion {

/// One component N(mean, deviation^2 I) of a mixture. `label` is the class that conditions on it.
struct Component {
  double weight = 1;
  std::vector<double> mean;
  double deviation = 1;
  int label = 0;
};

/// Data distribution sum_i w_i N(m_i, c_i^2 I) over vectors, and its noised marginals. Work is in double.
class Mixture {
 public:
  /// Weights are normalised. Throws OptionError unless there is a component, all means have one positive length, and
  /// weights and deviations are positive.
  explicit Mixture(std::vector<Component> components) : components_(std::move(components)) {
    require<OptionError>(!components_.empty() && !components_[0].mean.empty(), "mixture without components");
    double total = 0;
    for (const Component& c : components_) {
      require<OptionError>(c.mean.size() == components_[0].mean.size(), "mixture: means of ", c.mean.size(), " and ",
                           components_[0].mean.size(), " dimensions");
      require<OptionError>(c.weight > 0 && c.deviation > 0, "mixture: weight ", c.weight, ", deviation ", c.deviation,
                           "; both must be positive");
      total += c.weight;
    }
    for (Component& c : components_) c.weight /= total;
  }

  [[nodiscard]] std::size_t dimensions() const { return components_[0].mean.size(); }
  [[nodiscard]] const std::vector<Component>& components() const { return components_; }

  /// E[eps | x] at a level: sigma sum_i q_i (x - alpha m_i) / S_i with S_i = alpha^2 c_i^2 + sigma^2 and q_i the
  /// responsibilities of the noised components. Only components of class `label` if it is not negative.
  template <class X, class Out>
  void eps(const X& x, Level l, Out&& out, int label = -1) const {
    std::fill_n(out.begin(), dimensions(), 0);
    each_responsibility(x, l, label, [&](const Component& c, double q) {
      const double scale = l.sigma * q / variance(c, l);
      for (std::size_t j = 0; j < dimensions(); ++j)
        out[j] += static_cast<std::remove_cvref_t<decltype(out[j])>>(scale *
                                                                     (static_cast<double>(x[j]) - l.alpha * c.mean[j]));
    });
  }
  /// E[x0 | x] at a level: sum_i q_i (m_i + alpha c_i^2 / S_i (x - alpha m_i)).
  template <class X, class Out>
  void x0(const X& x, Level l, Out&& out, int label = -1) const {
    std::fill_n(out.begin(), dimensions(), 0);
    each_responsibility(x, l, label, [&](const Component& c, double q) {
      const double scale = l.alpha * c.deviation * c.deviation / variance(c, l);
      for (std::size_t j = 0; j < dimensions(); ++j)
        out[j] += static_cast<std::remove_cvref_t<decltype(out[j])>>(
            q * (c.mean[j] + scale * (static_cast<double>(x[j]) - l.alpha * c.mean[j])));
    });
  }
  /// grad ln p at a level: -sum_i q_i (x - alpha m_i) / S_i.
  template <class X, class Out>
  void score(const X& x, Level l, Out&& out, int label = -1) const {
    std::fill_n(out.begin(), dimensions(), 0);
    each_responsibility(x, l, label, [&](const Component& c, double q) {
      for (std::size_t j = 0; j < dimensions(); ++j)
        out[j] -= q * (static_cast<double>(x[j]) - l.alpha * c.mean[j]) / variance(c, l);
    });
  }
  /// ln p of the noised data at a level.
  template <class X>
  [[nodiscard]] double log_density(const X& x, Level l, int label = -1) const {
    return log_sum(x, l, label);
  }

  /// Sample number `i` of stream `s`; its class is returned.
  template <class Out>
  int draw(Stream s, std::uint64_t i, Out&& out) const {
    const std::uint64_t first = i * (dimensions() + 1);
    // The component's number comes from the uniform of an element of a second stream, to keep the normals in pairs.
    double u = static_cast<double>(uniform_at({s.seed, ~s.id}, i));
    const Component* c = &components_.back();
    for (const Component& candidate : components_) {
      u -= candidate.weight;
      if (u < 0) {
        c = &candidate;
        break;
      }
    }
    for (std::size_t j = 0; j < dimensions(); ++j)
      out[j] = static_cast<std::remove_cvref_t<decltype(out[j])>>(
          c->mean[j] + c->deviation * static_cast<double>(normal_at(s, first + j)));
    return c->label;
  }

 private:
  static double variance(const Component& c, Level l) {
    return l.alpha * l.alpha * c.deviation * c.deviation + l.sigma * l.sigma;
  }
  template <class X>
  [[nodiscard]] double log_term(const X& x, const Component& c, Level l) const {
    double squares = 0;
    for (std::size_t j = 0; j < dimensions(); ++j) {
      const double d = static_cast<double>(x[j]) - l.alpha * c.mean[j];
      squares += d * d;
    }
    const double s = variance(c, l);
    return std::log(c.weight) - 0.5 * squares / s -
           0.5 * static_cast<double>(dimensions()) * std::log(2 * std::numbers::pi * s);
  }
  template <class X>
  [[nodiscard]] double log_sum(const X& x, Level l, int label) const {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (const Component& c : components_) {
      if (label >= 0 && c.label != label) continue;
      const double term = log_term(x, c, l);
      sum = term > largest ? sum * std::exp(largest - term) + 1 : sum + std::exp(term - largest);
      largest = std::max(largest, term);
    }
    require<OptionError>(sum > 0, "mixture has no component of class ", label);
    return largest + std::log(sum);
  }
  template <class X, class F>
  void each_responsibility(const X& x, Level l, int label, F&& f) const {
    const double total = log_sum(x, l, label);
    for (const Component& c : components_)
      if (label < 0 || c.label == label) f(c, std::exp(log_term(x, c, l) - total));
  }

  std::vector<Component> components_;
};

}  // namespace hypersd::diffusion
