// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/diffusion/elementwise.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/nn/interval.hpp>

#include <doctest/doctest.h>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

/// \file
/// What the tests of objectives of continuous time share: the networks of golden_continuous.py, and students that are
/// exact on Gaussian data.

namespace continuous {

using namespace hypersd;
using diffusion::Unconditional;

/// sin 2 n, cos 2 n of times n [B], with their tangents.
inline Var<double> waves(const nn::Times<double>& t) {
  const std::int64_t batch = t.value.size();
  Tensor<double> out(Shape{batch, 2}), tangent(Shape{batch, 2});
  for (std::int64_t b = 0; b < batch; ++b) {
    const double angle = 2 * t.value[b], rate = t.tangent.defined() ? 2 * t.tangent[b] : 0;
    out[2 * b] = std::sin(angle), out[2 * b + 1] = std::cos(angle);
    tangent[2 * b] = rate * std::cos(angle), tangent[2 * b + 1] = -rate * std::sin(angle);
  }
  Var<double> v(out);
  if (t.tangent.defined()) v.set_tangent(tangent);
  return v;
}

/// w2 silu(w1 [x, waves, c] + b1) + b2 with one or two times.
template <bool two_times>
struct Mlp {
  Var<double> w1, b1, w2, b2;

  Var<double> operator()(const Var<double>& x, const nn::Times<double>& t, const Tensor<double>& c) const
      requires(!two_times) {
    return forward({x, waves(t), Var<double>(c.reshape({c.size(), 1}))});
  }
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c) const
      requires(two_times) {
    return forward({x, waves(t.t), waves(t.end), Var<double>(c.reshape({c.size(), 1}))});
  }
  [[nodiscard]] std::vector<std::pair<const char*, Var<double>>> parameters() const {
    return {{"w1", w1}, {"b1", b1}, {"w2", w2}, {"b2", b2}};
  }

 private:
  [[nodiscard]] Var<double> forward(const std::vector<Var<double>>& in) const {
    return autograd::linear(autograd::silu(autograd::linear(autograd::concat_channels(in), w1, b1)), w2, b2);
  }
};

/// A golden file with networks.
struct Golden {
  io::SafetensorsFile file;
  explicit Golden(const std::string& name) : file(std::string(HYPERSD_TEST_DATA) + "/" + name + ".safetensors") {}

  [[nodiscard]] Tensor<double> values(const std::string& name) const { return file.get<double>(name); }
  [[nodiscard]] std::vector<double> numbers(const std::string& name) const { return values(name).to_vector(); }
  template <bool two_times>
  [[nodiscard]] Mlp<two_times> network(const std::string& role, bool trainable = false) const {
    auto p = [&](const char* name) { return Var<double>(values(role + "." + name), trainable); };
    return {p("w1"), p("b1"), p("w2"), p("b2")};
  }
  [[nodiscard]] diffusion::Batch<double, Cpu, Tensor<double>> batch() const {
    const auto c = values("condition");
    return {values("x0"), {c, Tensor<double>::zeros(c.shape())}};
  }
  /// Compares a loss and the gradient it leaves in `student` with the file's.
  template <class Net>
  void check(const std::string& name, const Var<double>& loss, const Net& student) const {
    CAPTURE(name);
    const double expected = values(name + ".loss").item();
    CHECK(std::abs(loss.item() - expected) <= 1e-9 * std::abs(expected));
    autograd::backward(loss);
    for (const auto& [p, var] : student.parameters()) {
      const auto goal = values(name + ".grad." + p);
      double gap = 0, size = 0;
      for (std::int64_t i = 0; i < goal.size(); ++i) {
        gap += (var.grad()[i] - goal[i]) * (var.grad()[i] - goal[i]);
        size += goal[i] * goal[i];
      }
      CHECK(std::sqrt(gap / size) <= 1e-9);
    }
  }
};

/// A number with its derivative, for closed forms of time.
struct Jet {
  double v = 0, d = 0;
  Jet(double value = 0, double rate = 0) : v(value), d(rate) {}  // NOLINT(google-explicit-constructor)
  friend Jet operator+(Jet a, Jet b) { return {a.v + b.v, a.d + b.d}; }
  friend Jet operator-(Jet a, Jet b) { return {a.v - b.v, a.d - b.d}; }
  friend Jet operator*(Jet a, Jet b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
  friend Jet operator/(Jet a, Jet b) { return {a.v / b.v, (a.d - a.v / b.v * b.d) / b.v}; }
  friend Jet sqrt(Jet a) { return {std::sqrt(a.v), a.d / (2 * std::sqrt(a.v))}; }
  friend Jet sin(Jet a) { return {std::sin(a.v), a.d * std::cos(a.v)}; }
  friend Jet cos(Jet a) { return {std::cos(a.v), -a.d * std::sin(a.v)}; }
  friend Jet exp(Jet a) { return {std::exp(a.v), a.d * std::exp(a.v)}; }
};

/// A student that is affine in its input x: a (slope(t, end) x + offset(t, end)) of its times, with one parameter a.
/// `end` is that of its interval, or fixed.
struct AffineStudent {
  std::function<std::pair<Jet, Jet>(Jet t, Jet end)> form;
  double fixed_end = 0;
  Var<double> a{Tensor<double>::ones(Shape{1}), true};

  [[nodiscard]] Var<double> apply(const Var<double>& x, const nn::Times<double>& t,
                                  const nn::Times<double>& end) const {
    const std::int64_t batch = t.value.size();
    Tensor<double> slope(Shape{batch}), slope_rate(Shape{batch}), offset(Shape{batch}), offset_rate(Shape{batch});
    const auto jet = [](const nn::Times<double>& n, std::int64_t b) {
      return Jet(n.value[b], n.tangent.defined() ? n.tangent[b] : 0);
    };
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto [s, o] = form(jet(t, b), jet(end, b));
      slope[b] = s.v, slope_rate[b] = s.d, offset[b] = o.v, offset_rate[b] = o.d;
    }
    Var<double> s(slope), o(offset);
    s.set_tangent(slope_rate), o.set_tangent(offset_rate);
    return autograd::mul(autograd::add(autograd::mul(x, ops::per_sample(s)), ops::per_sample(o)), ops::everywhere(a));
  }
  Var<double> operator()(const Var<double>& x, const nn::Times<double>& t, const Unconditional&) const {
    return apply(x, t, Tensor<double>::full(t.value.shape(), fixed_end));
  }
};
/// The same with a second time.
struct AffineMap : AffineStudent {
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Unconditional&) const {
    return apply(x, t.t, t.end);
  }
};

/// Data N(m, c^2) for each element. Its flow map is X = alpha_s m + k (x - alpha_t m), k = sqrt(S_s / S_t),
/// S = alpha^2 c^2 + sigma^2, and the exact student's prediction f solves A x + B f = X.
struct Gaussian {
  double m = 0.3, c = 0.5, sd = 0.5;

  /// Coefficients of a process at the network's time n.
  struct At {
    Jet alpha, sigma, input = 1;
  };
  [[nodiscard]] std::pair<Jet, Jet> solve(const At& t, const At& s, Jet jump_x, Jet jump_f) const {
    const auto variance = [&](const At& l) { return l.alpha * l.alpha * (c * c) + l.sigma * l.sigma; };
    const Jet k = sqrt(variance(s) / variance(t));
    return {(k - jump_x) / jump_f / t.input, (s.alpha * m - k * t.alpha * m) / jump_f};
  }
  /// The process's own prediction, which the exact student makes where end = t.
  template <class Process>
  [[nodiscard]] std::pair<Jet, Jet> own(const Process& process, double n) const {
    const double t = process.process_time(n);
    const diffusion::Level l = process.level(t);
    const diffusion::Target w = process.target(t);
    const double variance = l.alpha * l.alpha * c * c + l.sigma * l.sigma;
    const double slope = (w.x0 * l.alpha * c * c + w.eps * l.sigma) / variance;
    return {slope / process.input_scale(t), w.x0 * m - slope * l.alpha * m};
  }
  [[nodiscard]] std::pair<Jet, Jet> between(const diffusion::Flow&, Jet t, Jet s) const {
    return solve({Jet(1) - t, t}, {Jet(1) - s, s}, 1, s - t);
  }
  [[nodiscard]] std::pair<Jet, Jet> between(const diffusion::Trig&, Jet t, Jet s) const {
    return solve({cos(t), sin(t) * sd, 1 / sd}, {cos(s), sin(s) * sd, 1 / sd}, cos(t - s), Jet(0) - sin(t - s) * sd);
  }
  [[nodiscard]] std::pair<Jet, Jet> between(const diffusion::Edm&, Jet n, Jet end) const {
    const Jet t = exp(n * 4), s = exp(end * 4), length = sqrt(t * t + sd * sd), share = s / t;
    const Jet skip = Jet(sd * sd) / (length * length), out = t * sd / length;
    return solve({1, t, Jet(1) / length}, {1, s}, share + (Jet(1) - share) * skip, (Jet(1) - share) * out);
  }
  /// slope and offset of the exact student in the network's input and times.
  template <class Process>
  [[nodiscard]] std::function<std::pair<Jet, Jet>(Jet, Jet)> exact(const Process& process) const {
    return [*this, process](Jet t, Jet s) { return t.v == s.v ? own(process, t.v) : between(process, t, s); };
  }
  template <class Process>
  [[nodiscard]] diffusion::IndependentDenoiser<Process> teacher(const Process& process) const {
    return {process, diffusion::Mixture({{1, {m}, c, 0}})};
  }
};

}  // namespace continuous
