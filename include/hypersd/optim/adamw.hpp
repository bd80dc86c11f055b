// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/ops/cast.hpp>
#include <hypersd/optim/adamw_update.hpp>
#include <hypersd/optim/parameters.hpp>

namespace hypersd::optim {

/// Hyper-parameters of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019).
struct AdamWOptions {
  double beta1 = 0.9;          ///< decay of the mean of gradients, [0, 1)
  double beta2 = 0.999;        ///< decay of the mean of squared gradients, [0, 1)
  double eps = 1e-8;           ///< added to the root of the second moment, > 0
  double weight_decay = 0.01;  ///< decoupled: multiplied by the learning rate, >= 0
};

/// The numbers of an update that change from step to step.
struct AdamWRates {
  double decay;       ///< 1 - lr weight_decay
  double step_size;   ///< lr / (1 - beta1^t)
  double root_scale;  ///< 1 / sqrt(1 - beta2^t)
};

/// AdamW with PyTorch's semantics: bias correction and decoupled weight decay. A parameter without a gradient keeps its
/// value, its moments and its step count. All parameters are updated in one pass.
///
/// `step` takes learning rate and clipping factor from the host. A training loop that does not synchronize with the
/// device in each step uses `EnqueuedSteps`, which works on the same state and gives the same numbers.
///
/// A 16-bit parameter has a float32 master, which is trained, and float32 moments, so that updates far below the
/// spacing of 16-bit numbers add up (Micikevicius et al. 2018, Sec. 3.1). Values written to such a parameter from
/// outside are overwritten by the next step.
template <Floating T, Device D = Cpu>
class AdamW {
 public:
  using A = Accumulator<T>;
  /// State of one parameter; tensors, so that a checkpoint can hold them.
  struct Slot {
    Parameter<T, D> parameter;
    Tensor<A, D> mean, square;        ///< first and second moment
    Tensor<A, D> master;              ///< of a 16-bit parameter, else undefined
    Tensor<std::int64_t, Cpu> steps;  ///< updates so far, shape [1]

    /// The arrays of an update of this parameter by `f`, with its gradient at `gradient`. With an average: its exact
    /// values and, of a 16-bit parameter, the rounded ones.
    template <bool average = false, class G, class F>
    [[nodiscard]] AdamWSegment<F, T, G, average> segment(G* gradient, const F& f, A* exact = nullptr,
                                                         T* rounded = nullptr) const {
      T* const p = parameter.var.value().data();
      const std::int64_t size = parameter.var.size();
      if constexpr (Narrow<T> && average)
        return {{p, gradient, mean.data(), square.data(), master.data(), exact, rounded}, size, f};
      else if constexpr (Narrow<T>)
        return {{p, gradient, mean.data(), square.data(), master.data()}, size, f};
      else if constexpr (average)
        return {{p, gradient, mean.data(), square.data(), exact}, size, f};
      else
        return {{p, gradient, mean.data(), square.data()}, size, f};
    }
  };

  /// Keeps handles to `parameters`. Throws OptionError for options out of range or equal names.
  explicit AdamW(const ParameterList<T, D>& parameters, const AdamWOptions& options = {});

  /// One update with learning rate `lr` >= 0; gradients are multiplied by `grad_scale` (see `clip_factor`) as they are
  /// read. Throws OptionError for the learning rate.
  void step(double lr, double grad_scale = 1);
  /// The rates of update number `t` = 1, 2, ... of a parameter with learning rate `lr`.
  [[nodiscard]] AdamWRates rates(double lr, std::int64_t t) const {
    const auto n = static_cast<double>(t);
    return {1 - lr * options_.weight_decay, lr / (1 - std::pow(options_.beta1, n)),
            1 / std::sqrt(1 - std::pow(options_.beta2, n))};
  }
  /// An update whose rates are still to be set.
  [[nodiscard]] AdamWUpdate<A> constants() const {
    return {A(1),
            A(1),
            static_cast<A>(1 - options_.beta1),
            static_cast<A>(options_.beta2),
            static_cast<A>(1 - options_.beta2),
            A(0),
            A(1),
            static_cast<A>(options_.eps)};
  }

  void zero_grad() {
    for (Slot& slot : slots_) slot.parameter.var.zero_grad();
  }
  [[nodiscard]] const AdamWOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<Slot>& slots() const { return slots_; }
  /// Calls f(name, tensor) for the moments (`NAME.mean`, `NAME.square`), masters (`NAME.master`, of 16-bit parameters)
  /// and step counts (`NAME.steps`, int64) under `prefix`. The tensors are handles: writing to them restores a state.
  template <class F>
  void visit_state(F&& f, const std::string& prefix = "") const {
    for (const Slot& slot : slots_) {
      f(prefix + slot.parameter.name + ".mean", slot.mean);
      f(prefix + slot.parameter.name + ".square", slot.square);
      if constexpr (Narrow<T>) f(prefix + slot.parameter.name + ".master", slot.master);
      f(prefix + slot.parameter.name + ".steps", slot.steps);
    }
  }

 private:
  static Tensor<A, D> master_of(const Parameter<T, D>& p) {
    if constexpr (Narrow<T>)
      return ops::cast<A>(p.var.value());
    else
      return {};
  }

  AdamWOptions options_;
  std::vector<Slot> slots_;
  std::vector<AdamWSegment<AdamWUpdate<A>, T, T, false>> segments_;
};

template <Floating T, Device D>
AdamW<T, D>::AdamW(const ParameterList<T, D>& parameters, const AdamWOptions& options) : options_(options) {
  require<OptionError>(options.beta1 >= 0 && options.beta1 < 1, "AdamW: beta1 = ", options.beta1, ", not in [0, 1)");
  require<OptionError>(options.beta2 >= 0 && options.beta2 < 1, "AdamW: beta2 = ", options.beta2, ", not in [0, 1)");
  require<OptionError>(options.eps > 0, "AdamW: eps = ", options.eps, ", not above 0");
  require<OptionError>(options.weight_decay >= 0, "AdamW: weight_decay = ", options.weight_decay, ", below 0");
  require_distinct(parameters, "AdamW");
  slots_.reserve(parameters.size());
  for (const auto& p : parameters)
    slots_.push_back({p, Tensor<A, D>::zeros(p.var.shape()), Tensor<A, D>::zeros(p.var.shape()), master_of(p),
                      Tensor<std::int64_t, Cpu>::zeros(Shape{1})});
}

template <Floating T, Device D>
void AdamW<T, D>::step(double lr, double grad_scale) {
  require<OptionError>(std::isfinite(lr) && lr >= 0, "AdamW: learning rate ", lr);
  segments_.clear();
  for (Slot& slot : slots_) {
    const Var<T, D>& var = slot.parameter.var;
    if (!var.grad().defined() || var.size() == 0) continue;
    const AdamWRates rates = this->rates(lr, ++slot.steps[0]);
    AdamWUpdate<A> update = constants();
    update.grad_scale = static_cast<A>(grad_scale);
    update.decay = static_cast<A>(rates.decay);
    update.step_size = static_cast<A>(rates.step_size);
    update.root_scale = static_cast<A>(rates.root_scale);
    segments_.push_back(slot.segment(var.grad().data(), update));
  }
  multi_update<D>(segments_);
}

}  // namespace hypersd::optim
