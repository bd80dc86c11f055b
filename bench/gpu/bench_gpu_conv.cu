// SPDX-License-Identifier: Apache-2.0
/// 3x3 convolutions at the sizes of Stable Diffusion 1.5 (two images) in bfloat16 and float32, with a bias, against
/// the GEMM that they contain; their gradients; and, if cuDNN was found, the faster of both implementations.

#if defined(HYPERSD_HAS_CUDNN)
#include <hypersd/ops/cuda/conv2d_cudnn.cuh>
#endif
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/linear.hpp>
#include <string>

#include "timing.hpp"

using namespace hypersd;

namespace {

template <class T, class D>
void measure(const std::string& kind, std::int64_t side, std::int64_t channels, double limit) {
  using Array = Tensor<T, D>;
  constexpr std::int64_t batch = 2;
  const auto x = Array::full({batch, side, side, channels}, T(0.125F));
  const auto w = Array::full({channels, 3, 3, channels}, T(0.125F)), bias = Array::full(Shape{channels}, T(0.5F));
  const std::string size = kind + "_" + std::to_string(side) + "x" + std::to_string(channels);
  const auto print = [&](const char* what, double ms) {
    bench::print((what + size).c_str(), ms, limit > 0 ? "its product" : "", limit);
  };
  print("conv3x3_", bench::milliseconds([&] { (void)ops::conv2d(x, w, bias); }));
  print("conv3x3_input_gradient_", bench::milliseconds([&] { (void)ops::conv2d_input_gradient(x, w, x.shape()); }));
  print("conv3x3_weight_gradient_", bench::milliseconds([&] { (void)ops::conv2d_weight_gradient(x, x, w.shape()); }));
}

/// Milliseconds of the GEMM of the im2col matrix with the weight.
template <class T>
double product(std::int64_t side, std::int64_t channels) {
  using Matrix = Tensor<T, Cuda>;
  const auto patches = Matrix::full({2 * side * side, 9 * channels}, T(0.125F));
  const auto w = Matrix::full({channels, 9 * channels}, T(0.125F)), bias = Matrix::full(Shape{channels}, T(0.5F));
  return bench::milliseconds([&] { (void)ops::linear(patches, w, bias); });
}

template <class T>
void measure_all(const std::string& type) {
  for (const auto& [side, channels] :
       {std::pair<std::int64_t, std::int64_t>{64, 320}, {32, 640}, {16, 1280}, {8, 1280}}) {
    const double limit = product<T>(side, channels);
    measure<T, Cuda>(type, side, channels, limit);
#if defined(HYPERSD_HAS_CUDNN)
    measure<T, ops::cudnn::Fastest>("cudnn_" + type, side, channels, limit);
#endif
  }
}

}  // namespace

int main() {
  if (!bench::have_device("conv")) return 77;
  measure_all<bfloat16>("bfloat16");
  measure_all<float>("float32");
}
