// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/math.hpp>
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

/// One element's AdamW update, in PyTorch's order of operations.
template <Real T>
struct AdamWUpdate {
  T grad_scale;   ///< clipping factor
  T decay;        ///< 1 - lr weight_decay
  T beta1c;       ///< 1 - beta1
  T beta2, beta2c;
  T step_size;    ///< lr / (1 - beta1^t)
  T root_scale;   ///< 1 / sqrt(1 - beta2^t)
  T eps;
  HYPERSD_HD void operator()(T& p, const T& gradient, T& m, T& v) const {
    const T g = gradient * grad_scale;
    m = m + beta1c * (g - m);
    v = v * beta2 + beta2c * g * g;
    p = p * decay - step_size * (m / (math::sqrt(v) * root_scale + eps));
  }
};

/// AdamW with PyTorch's semantics: bias correction, decoupled weight decay; a parameter without a gradient is left
/// alone, and its step count too. All parameters are updated in one pass over p, g, m, v.
template <Real T, Device D = Cpu>
class AdamW {
 public:
  /// State of one parameter; tensors, so that a checkpoint can hold them.
  struct Slot {
    Parameter<T, D> parameter;
    Tensor<T, D> mean, square;        ///< first and second moment
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
      slots_.push_back({p, Tensor<T, D>::zeros(p.var.shape()), Tensor<T, D>::zeros(p.var.shape()),
                        Tensor<std::int64_t, Cpu>::zeros(Shape{1})});
  }

  /// One update with learning rate `lr` >= 0; gradients are read times `grad_scale` (see `clip_factor`), not changed.
  void step(double lr, double grad_scale = 1) {
    require<OptionError>(std::isfinite(lr) && lr >= 0, "AdamW: learning rate ", lr);
    segments_.clear();
    for (Slot& slot : slots_) {
      const Var<T, D>& var = slot.parameter.var;
      if (!var.grad().defined() || var.size() == 0) continue;
      const double t = static_cast<double>(++slot.steps[0]);
      const AdamWUpdate<T> update{static_cast<T>(grad_scale),
                                  static_cast<T>(1 - lr * options_.weight_decay),
                                  static_cast<T>(1 - options_.beta1),
                                  static_cast<T>(options_.beta2),
                                  static_cast<T>(1 - options_.beta2),
                                  static_cast<T>(lr / (1 - std::pow(options_.beta1, t))),
                                  static_cast<T>(1 / std::sqrt(1 - std::pow(options_.beta2, t))),
                                  static_cast<T>(options_.eps)};
      segments_.push_back({{var.value().data(), var.grad().data(), slot.mean.data(), slot.square.data()},
                           var.size(), update});
    }
    multi_update<D>(segments_);
  }

  void zero_grad() {
    for (Slot& slot : slots_) slot.parameter.var.zero_grad();
  }
  [[nodiscard]] const AdamWOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<Slot>& slots() const { return slots_; }
  /// Calls f(name, tensor) for the moments (`NAME.mean`, `NAME.square`) and step counts (`NAME.steps`, int64) under
  /// `prefix`; the tensors are handles, so writing into them restores a state.
  template <class F>
  void visit_state(F&& f, const std::string& prefix = "") const {
    for (const Slot& slot : slots_) {
      f(prefix + slot.parameter.name + ".mean", slot.mean);
      f(prefix + slot.parameter.name + ".square", slot.square);
      f(prefix + slot.parameter.name + ".steps", slot.steps);
    }
  }

 private:
  AdamWOptions options_;
  std::vector<Slot> slots_;
  std::vector<Segment<AdamWUpdate<T>, T, T, T, T>> segments_;
};

}  // namespace hypersd::optim
