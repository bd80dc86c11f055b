// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>
#include <hypersd/optim/multi_tensor.hpp>
#include <hypersd/optim/parameters.hpp>
#include <utility>

namespace hypersd::optim {

/// average += weight (value - average), as torch.lerp: exact for weights 0 (keeps the average) and 1 (copies the
/// value), and if the average equals the value.
template <Real T>
struct Lerp {
  T weight;
  HYPERSD_HD void operator()(T& average, const T& value) const {
    const T gap = value - average;
    average = weight < T(0.5) ? average + weight * gap : value - (T(1) - weight) * gap;
  }
  /// The average of a 16-bit value, and its rounded value.
  template <Narrow P>
  HYPERSD_HD void operator()(T& average, const P& value, P& rounded) const {
    (*this)(average, static_cast<T>(value));
    rounded = P(average);
  }
};

/// averages <- decay averages + (1 - decay) parameters, all tensors in one pass; decay in [0, 1]: 1 freezes, 0 copies.
/// Throws OptionError for the decay or other names, ShapeError for other shapes.
template <Real T, class D>
void ema_update(const ParameterList<T, D>& averages, const ParameterList<T, D>& parameters, double decay) {
  require<OptionError>(decay >= 0 && decay <= 1, "EMA: decay = ", decay, ", not in [0, 1]");
  require<OptionError>(averages.size() == parameters.size(), "EMA: ", averages.size(), " averages of ",
                       parameters.size(), " parameters");
  std::vector<Segment<Lerp<T>, T, T>> segments;
  segments.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    require<OptionError>(averages[i].name == parameters[i].name, "EMA: average '", averages[i].name, "' of parameter '",
                         parameters[i].name, "'");
    require_same_shape("EMA", averages[i].var.shape(), parameters[i].var.shape());
    segments.push_back({{averages[i].var.value().data(), parameters[i].var.value().data()},
                        parameters[i].var.size(),
                        {static_cast<T>(1 - decay)}});
  }
  multi_update<D>(segments);
}

/// How fast a moving average follows.
struct EmaOptions {
  double decay = 0.999;  ///< share of the old average kept at each update, [0, 1]
  bool warm_up = false;  ///< early updates use min(decay, (1 + n) / (10 + n)) instead, n updates so far
};

/// Exponential moving average of parameters, itself a list of variables without gradient: bound to a second network
/// they are a target or an evaluation model. The average of LoRA factors is not the average of their matmul. Averages
/// of 16-bit parameters are kept in float32; the variables hold the rounded values.
template <Floating T, Device D = Cpu>
class Ema {
 public:
  using A = Accumulator<T>;

  /// Starts at the present values of `parameters` and keeps handles to them. Throws OptionError for options out of
  /// range or equal names.
  explicit Ema(const ParameterList<T, D>& parameters, const EmaOptions& options = {});

  /// Call after each optimiser step.
  void update() {
    move(next_decay());
    count(1);
  }
  /// The decay that the next update uses.
  [[nodiscard]] double next_decay() const {
    const auto n = static_cast<double>(updates_[0]);
    return options_.warm_up ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay;
  }
  /// Adds `n` updates that an optimiser has made to the averages itself (`EnqueuedSteps`).
  void count(std::int64_t n) { updates_[0] += n; }
  /// Restarts the average at the present values.
  void reset() {
    updates_[0] = 0;
    move(0);
  }
  /// Exchanges the values of averages and parameters. `EmaScope` does so for a scope.
  void swap();
  /// Overwrites the parameters with the averages.
  void copy_to_parameters() const {
    for (std::size_t i = 0; i < source_.size(); ++i) source_[i].var.value().copy_from(averages_[i].var.value());
  }

  [[nodiscard]] const ParameterList<T, D>& parameters() const { return averages_; }
  /// The averages in the type they are kept in: float32 for 16-bit parameters.
  [[nodiscard]] const std::vector<Tensor<A, D>>& exact() const { return exact_; }
  [[nodiscard]] const EmaOptions& options() const { return options_; }
  [[nodiscard]] std::int64_t updates() const { return updates_[0]; }
  /// Calls f(name, tensor) for the averages and the number of updates (`updates`, int64) under `prefix`; of 16-bit
  /// parameters also for the rounded averages (`NAME.rounded`).
  template <class F>
  void visit_state(F&& f, const std::string& prefix = "") const {
    for (std::size_t i = 0; i < averages_.size(); ++i) {
      f(prefix + averages_[i].name, exact_[i]);
      if constexpr (Narrow<T>) f(prefix + averages_[i].name + ".rounded", averages_[i].var.value());
    }
    f(prefix + "updates", updates_);
  }

 private:
  void move(double decay);

  EmaOptions options_;
  ParameterList<T, D> source_, averages_;
  std::vector<Tensor<A, D>> exact_;
  Tensor<std::int64_t, Cpu> updates_;
};

template <Floating T, Device D>
Ema<T, D>::Ema(const ParameterList<T, D>& parameters, const EmaOptions& options)
    : options_(options), source_(parameters), updates_(Tensor<std::int64_t, Cpu>::zeros(Shape{1})) {
  require<OptionError>(options.decay >= 0 && options.decay <= 1, "EMA: decay = ", options.decay, ", not in [0, 1]");
  require_distinct(parameters, "EMA");
  for (const auto& p : parameters) {
    averages_.push_back({p.name, Var<T, D>(p.var.value().clone())});
    exact_.push_back(ops::cast<A>(averages_.back().var.value()));
  }
}

template <Floating T, Device D>
void Ema<T, D>::swap() {
  for (std::size_t i = 0; i < source_.size(); ++i) {
    const Tensor<T, D> kept = source_[i].var.value().clone();
    source_[i].var.value().copy_from(averages_[i].var.value());
    averages_[i].var.value().copy_from(kept);
  }
}

template <Floating T, Device D>
void Ema<T, D>::move(double decay) {
  if constexpr (Real<T>) {
    ema_update(averages_, source_, decay);
  } else {
    std::vector<Segment<Lerp<A>, A, T, T>> segments;
    for (std::size_t i = 0; i < source_.size(); ++i)
      segments.push_back({{exact_[i].data(), source_[i].var.value().data(), averages_[i].var.value().data()},
                          exact_[i].size(),
                          {static_cast<A>(1 - decay)}});
    multi_update<D>(segments);
  }
}

/// While alive, the parameters hold their averages.
template <Floating T, Device D = Cpu>
class EmaScope {
 public:
  explicit EmaScope(Ema<T, D>& ema) : ema_(ema) { ema_.swap(); }
  ~EmaScope() { ema_.swap(); }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema<T, D>& ema_;
};

}  // namespace hypersd::optim
