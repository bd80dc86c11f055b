// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/weight.hpp>
#include <string>
#include <vector>

namespace hypersd::nn {

/// The distribution of a parameter's initial values.
struct Initializer {
  enum class Kind { constant, uniform, normal, table };
  Kind kind = Kind::constant;
  double scale = 0;  ///< the constant, the bound of a symmetric uniform, or the standard deviation of a normal
  std::vector<double> (*table)(const Shape& shape, double scale) = nullptr;  ///< all values, of a `table`

  /// All 0.
  static Initializer zeros() { return {Kind::constant, 0}; }
  /// All 1.
  static Initializer ones() { return {Kind::constant, 1}; }
  /// Kaiming uniform with a = sqrt(5), PyTorch's default for linear and convolution layers: bound 1 / sqrt(fan_in).
  static Initializer fan_in(std::int64_t n) { return {Kind::uniform, 1 / std::sqrt(static_cast<double>(n))}; }
  /// N(0, deviation^2).
  static Initializer normal(double deviation) { return {Kind::normal, deviation}; }
  /// Xavier uniform: bound sqrt(6 / (fan_in + fan_out)).
  static Initializer xavier(std::int64_t in, std::int64_t out) {
    return {Kind::uniform, std::sqrt(6 / static_cast<double>(in + out))};
  }
  /// The values f(shape, scale), in row-major order. Such a parameter is a constant that files contain (a buffer of
  /// PyTorch): it is never trainable.
  static Initializer values(std::vector<double> (*f)(const Shape&, double), double scale) {
    return {Kind::table, scale, f};
  }
};

/// A variable of a network, declared by its shape. The constructor of a network allocates no values; `init_parameters`
/// or `load_state_dict` does. So the parameters of SDXL can be counted, or its checkpoint loaded, without an
/// initialization. Copies share the values, as copies of a `Var` do.
///
/// A parameter of float on the CPU can also hold constants that copies share: 16-bit values as a checkpoint stores them
/// (`keep`), or values in the order in which matmuls read them (`pack`). Then `defined()` is false, there is no
/// variable. Layers compute from constants with the same bits as from float copies. Nothing writes to them:
/// `set_requires_grad(true)`, `widen`, `assign` and `bind` make the parameter a variable again.
template <Scalar T, Device D = Cpu>
class Parameter : public Var<T, D> {
 public:
  /// Whether the parameter can hold constants.
  static constexpr bool can_keep = ops::takes_constant<T, D>;

  /// An absent parameter (the bias of a layer without bias); visitors skip it.
  Parameter() = default;
  /// A parameter of that shape, without values yet.
  Parameter(const Shape& shape, Initializer initializer)
      : shape_(shape), initializer_(initializer), declared_(true), trainable_(!constant()) {}

  /// False for an absent parameter.
  [[nodiscard]] bool declared() const { return declared_; }
  /// The declared shape, also before there are values.
  [[nodiscard]] const Shape& shape() const { return shape_; }
  /// Extent of axis i; negative i counts from the end.
  [[nodiscard]] std::int64_t dim(int i) const { return shape_[i]; }
  /// Number of axes.
  [[nodiscard]] int rank() const { return shape_.rank(); }
  /// Number of elements; 0 for an absent parameter.
  [[nodiscard]] std::int64_t size() const { return declared_ ? shape_.numel() : 0; }
  /// The distribution of the initial values.
  [[nodiscard]] const Initializer& initializer() const { return initializer_; }
  /// Whether the values are given by a formula and never trained.
  [[nodiscard]] bool constant() const { return initializer_.kind == Initializer::Kind::table; }
  /// Marks the parameter as part of an adapter, which `state_dict` and `load_state_dict` skip.
  void set_adapter(bool on) { adapter_ = on; }
  /// Whether the parameter is part of an adapter.
  [[nodiscard]] bool adapter() const { return adapter_; }

  /// Makes the parameter trainable or not; may be called before there are values. Widens constants that shall be
  /// trained. Values given by a formula are never trainable.
  void set_requires_grad(bool on) {
    trainable_ = on && !constant();
    if (trainable_) widen();
    if (this->defined()) Var<T, D>::set_requires_grad(trainable_);
  }
  /// Whether the parameter is trainable.
  [[nodiscard]] bool requires_grad() const { return this->defined() ? Var<T, D>::requires_grad() : trainable_; }

  /// Replaces the values. Copies that share this parameter see the new ones, except if these are the first. Throws
  /// ShapeError unless `value` has the declared shape.
  void assign(Tensor<T, D> value) {
    require_same_shape("Parameter::assign", shape_, value.shape());
    kept_ = {};
    if (this->defined())
      this->set_value(std::move(value));
    else
      bind(Var<T, D>(std::move(value), trainable_));
  }
  /// Refers to another variable from now on; copies of this parameter keep the old one.
  void bind(Var<T, D> var) {
    kept_ = {};
    static_cast<Var<T, D>&>(*this) = std::move(var);
  }

  /// Holds constants from now on; copies of this parameter keep the old values. Throws ShapeError unless `value` has
  /// the declared shape.
  void keep(ConstantTensor value) requires can_keep {
    require_same_shape("Parameter::keep", shape_, value.shape());
    bind({});
    trainable_ = false;
    kept_ = std::move(value);
  }
  /// The constants; undefined if there are none.
  [[nodiscard]] const ConstantTensor& kept() const { return kept_; }
  /// Makes constants a variable of float copies; copies of this parameter keep the old ones.
  void widen() {
    if constexpr (can_keep)
      if (kept_.defined()) bind(get());
  }
  /// Holds the same values from now on as constants in the order in which matmuls read them (`ops::packed`); copies of
  /// this parameter keep the old ones. A parameter without values, or with too few rows to be packed, stays as it is.
  void pack() requires can_keep {
    if (!has_values()) return;
    ConstantTensor value = ops::packed(kept_.defined() ? kept_ : ConstantTensor(Var<T, D>::value().template to<Cpu>()));
    if (value.strip() == 0) return;
    keep(std::move(value));
  }
  /// Whether there are values, as a variable or as constants.
  [[nodiscard]] bool has_values() const { return this->defined() || kept_.defined(); }
  /// Bytes of the values.
  [[nodiscard]] std::int64_t bytes() const {
    if (kept_.defined()) return kept_.bytes();
    return has_values() ? size() * static_cast<std::int64_t>(sizeof(T)) : 0;
  }

  /// The tensor of the variable. Throws Error if there is none: `get` also reads constants.
  [[nodiscard]] const Tensor<T, D>& value() const {
    require<Error>(this->defined(), "a parameter of shape ", shape_,
                   kept_.defined() ? " holds constants: read them by get(), or call widen() first"
                                   : " has no values yet: call init_parameters or load_state_dict first");
    return Var<T, D>::value();
  }
  /// The variable, for a computation; one of float copies if there are constants; undefined if the parameter
  /// is absent. Throws Error if a declared parameter has no values yet.
  [[nodiscard]] Var<T, D> get() const {
    require<Error>(has_values() || !declared_, "a parameter of shape ", shape_,
                   " has no values yet: call init_parameters or load_state_dict first");
    if constexpr (can_keep)
      if (kept_.defined()) return Var<T, D>(ops::widen(kept_).template to<D>());
    return *this;
  }

 private:
  Shape shape_{0};
  Initializer initializer_;
  ConstantTensor kept_;
  bool declared_ = false, adapter_ = false, trainable_ = true;
};

}  // namespace hypersd::nn
