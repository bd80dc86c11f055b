// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/math.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/optim/multi_tensor.hpp>
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

/// One element's AdamW update, in PyTorch's order of operations.
template <Real T>
struct AdamWUpdate {
  T grad_scale;  ///< clipping factor
  T decay;       ///< 1 - lr weight_decay
  T beta1c;      ///< 1 - beta1
  T beta2, beta2c;
  T step_size;   ///< lr / (1 - beta1^t)
  T root_scale;  ///< 1 / sqrt(1 - beta2^t)
  T eps;
  HYPERSD_HD void operator()(T& p, const T& gradient, T& m, T& v) const {
    const T g = gradient * grad_scale;
    m = m + beta1c * (g - m);
    v = v * beta2 + beta2c * g * g;
    p = p * decay - step_size * (m / (math::sqrt(v) * root_scale + eps));
  }
  /// A 16-bit parameter and its master: the master is updated, the parameter is what it rounds to.
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const P& gradient, T& m, T& v, T& master) const {
    (*this)(master, static_cast<T>(gradient), m, v);
    p = P(master);
  }
};

/// AdamW with PyTorch's semantics: bias correction, decoupled weight decay; a parameter without a gradient is left
/// alone, and its step count too. All parameters are updated in one pass over p, g, m, v.
///
/// Parameters of 16 bits have a master in float32 each, which is what is trained; moments are float32 too. A step far
/// below a 16-bit unit so adds up instead of being rounded away (Micikevicius et al. 2018, Sec. 3.1). bfloat16 has
/// float32's exponents, so that its losses need no scaling. What is written into such a parameter from outside is
/// overwritten by the next step.
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
  };

  /// Keeps handles to `parameters`. Throws OptionError for settings out of range or equal names.
  explicit AdamW(const ParameterList<T, D>& parameters, const AdamWOptions& options = {}) : options_(options) {
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

  /// One update with learning rate `lr` >= 0; gradients are read times `grad_scale` (see `clip_factor`), not changed.
  void step(double lr, double grad_scale = 1) {
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
      if constexpr (Narrow<T>)
        segments_.push_back(
            {{var.value().data(), var.grad().data(), slot.mean.data(), slot.square.data(), slot.master.data()},
             var.size(),
             update});
      else
        segments_.push_back(
            {{var.value().data(), var.grad().data(), slot.mean.data(), slot.square.data()}, var.size(), update});
    }
    multi_update<D>(segments_);
  }
  /// What update number `t` = 1, 2, ... of a parameter takes from learning rate and number.
  [[nodiscard]] AdamWRates rates(double lr, std::int64_t t) const {
    const auto n = static_cast<double>(t);
    return {1 - lr * options_.weight_decay, lr / (1 - std::pow(options_.beta1, n)),
            1 / std::sqrt(1 - std::pow(options_.beta2, n))};
  }
  /// An update in which the rates are still to be set.
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
  /// and step counts (`NAME.steps`, int64) under `prefix`; the tensors are handles, so writing into them restores a
  /// state.
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
  std::vector<
      std::conditional_t<Narrow<T>, Segment<AdamWUpdate<A>, T, T, A, A, A>, Segment<AdamWUpdate<A>, T, T, A, A>>>
      segments_;
};

}  // namespace hypersd::optim
