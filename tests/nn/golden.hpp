// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/nn/state.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace golden {

using namespace hypersd;

/// One file of tests/golden/data: weights, inputs, output and gradients of one module of diffusers.
class File {
 public:
  explicit File(const std::string& name) : file_(std::string(HYPERSD_TEST_DATA) + "/" + name + ".safetensors") {}

  template <class T>
  Tensor<T> get(const std::string& name) const {
    return file_.get<T>(name, io::Convert::AnyNumber);  // times are integers
  }
  /// An image, channels last.
  template <class T>
  Tensor<T> image(const std::string& name) const {
    return ops::nchw_to_nhwc(get<T>(name));
  }
  bool contains(const std::string& name) const { return file_.contains(name); }

  /// Strictly loads all `param.*`.
  template <nn::Module M>
  void load(M& module) const {
    nn::StateDict<float> state;
    for (const std::string& name : file_.names())
      if (name.rfind("param.", 0) == 0) state.emplace(ours(name.substr(6)), get<float>(name));
    nn::load_state_dict(module, state);
  }
  /// Compares the gradient of every trainable parameter with `grad.*`, relative to its largest element; an undefined
  /// one stands for zero.
  template <nn::Module M>
  void check_gradients(M& module, double tolerance) const {
    using T = typename M::value_type;
    int compared = 0;
    auto compare = [&](const std::string& name, auto& p) {
      if (!p.requires_grad()) return;
      const auto want = get<T>("grad." + (contains("grad." + name) ? name : theirs(name)));
      const auto got = p.grad().defined() ? p.grad() : Tensor<T>::zeros(p.shape());
      CHECK_MESSAGE(difference(nn::to_file_layout(got).reshape(want.shape()), want) < tolerance, name);
      ++compared;
    };
    module.visit(compare, "");
    CHECK(compared > 0);
  }

  /// Largest difference, relative to the largest element of `want` (or 1 if that is larger).
  template <class T>
  static double difference(const Tensor<T>& got, const Tensor<T>& want) {
    REQUIRE(got.shape() == want.shape());
    double worst = 0, scale = 1;
    for (std::int64_t i = 0; i < got.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
      scale = std::max(scale, std::abs(static_cast<double>(want[i])));
    }
    return worst / scale;
  }

 private:
  /// A resampling layer of diffusers on its own calls its convolution `Conv2d_0`; within a network it is `conv`.
  static std::string ours(const std::string& name) {
    return name.rfind("Conv2d_0.", 0) == 0 ? "conv." + name.substr(9) : name;
  }
  static std::string theirs(const std::string& name) {
    return name.rfind("conv.", 0) == 0 ? "Conv2d_0." + name.substr(5) : name;
  }

  io::SafetensorsFile file_;
};

/// Tolerance of a float or double pass against the float64 reference (stored in float32).
template <class T>
inline constexpr double tolerance = sizeof(T) == 4 ? 2e-5 : 5e-7;

}  // namespace golden
