// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/variable.hpp>
#include <string>

namespace hypersd::nn {

/// How a fresh parameter is filled.
struct Initializer {
  enum class Kind { constant, uniform, normal };
  Kind kind = Kind::constant;
  double scale = 0;  ///< the constant, the bound of a symmetric uniform, or the standard deviation of a normal

  static Initializer zeros() { return {Kind::constant, 0}; }
  static Initializer ones() { return {Kind::constant, 1}; }
  /// Kaiming uniform with a = sqrt(5), PyTorch's default for linear and convolution layers: bound 1 / sqrt(fan_in).
  static Initializer fan_in(std::int64_t n) { return {Kind::uniform, 1 / std::sqrt(static_cast<double>(n))}; }
  static Initializer normal(double deviation) { return {Kind::normal, deviation}; }
};

/// A variable of a network, declared by its shape. Building a network allocates nothing; the values come with
/// `init_parameters` or `load_state_dict`, so the parameters of SDXL can be counted, or its checkpoint loaded, without
/// the random numbers of an initialisation. Copies share the values, as copies of a Var do.
template <Scalar T, Device D = Cpu>
class Parameter : public Var<T, D> {
 public:
  /// An absent parameter (the bias of a layer that has none); visitors skip it.
  Parameter() = default;
  Parameter(const Shape& shape, Initializer initializer) : shape_(shape), initializer_(initializer), declared_(true) {}

  [[nodiscard]] bool declared() const { return declared_; }
  /// The declared shape, known before there are values.
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t dim(int i) const { return shape_[i]; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  [[nodiscard]] std::int64_t size() const { return declared_ ? shape_.numel() : 0; }
  [[nodiscard]] const Initializer& initializer() const { return initializer_; }
  /// Marks the parameter as part of an adapter: not in the state of the plain network.
  void set_adapter(bool on) { adapter_ = on; }
  [[nodiscard]] bool adapter() const { return adapter_; }

  /// Whether operations record this parameter; may be set before there are values.
  void set_requires_grad(bool on) {
    trainable_ = on;
    if (this->defined()) Var<T, D>::set_requires_grad(on);
  }
  [[nodiscard]] bool requires_grad() const { return this->defined() ? Var<T, D>::requires_grad() : trainable_; }

  /// Takes over `value`. All copies that share this parameter see it, unless this is the first value.
  /// Throws ShapeError unless it has the declared shape.
  void assign(Tensor<T, D> value) {
    require_same_shape("Parameter::assign", shape_, value.shape());
    if (this->defined())
      this->set_value(std::move(value));
    else
      bind(Var<T, D>(std::move(value), trainable_));
  }
  /// Names another variable from now on; the copies that shared the old one keep it.
  void bind(Var<T, D> var) { static_cast<Var<T, D>&>(*this) = std::move(var); }

  /// The variable for use in a computation; undefined if the parameter is absent. Throws Error while a declared
  /// parameter has no values.
  [[nodiscard]] const Var<T, D>& get() const {
    require<Error>(this->defined() || !declared_, "a parameter of shape ", shape_,
                   " has no values yet: call init_parameters or load_state_dict first");
    return *this;
  }

 private:
  Shape shape_{0};
  Initializer initializer_;
  bool declared_ = false, adapter_ = false, trainable_ = true;
};

}  // namespace hypersd::nn
