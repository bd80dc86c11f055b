// SPDX-License-Identifier: Apache-2.0
/// Matrix products through the library's wrapper against the same cuBLAS call made directly, and 3x3 convolutions at
/// the sizes of Stable Diffusion 1.5 against the product that they contain.

#include <hypersd/ops/conv2d.hpp>
#include <string>

#include "timing.hpp"

using namespace hypersd;

namespace {

using Matrix = Tensor<float, Cuda>;

Matrix some(const Shape& shape) { return Matrix::full(shape, 0.125F); }

double raw_gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto a = some({m, k}), b = some({k, n}), c = some({m, n});
  const float one = 1, zero = 0;
  const auto M = static_cast<int>(m), N = static_cast<int>(n), K = static_cast<int>(k);
  return bench::milliseconds([&] {
    hypersd::detail::cublas_check(cublasSgemm(hypersd::detail::CudaContext::current().cublas(), CUBLAS_OP_N,
                                              CUBLAS_OP_N, N, M, K, &one, b.data(), N, a.data(), K, &zero, c.data(), N),
                                  "cublasSgemm");
  });
}

void measure_gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto a = some({m, k}), b = some({k, n}), c = some({m, n});
  const double ms = bench::milliseconds([&] { ops::gemm(c, a, false, b, false); });
  const std::string name = "gemm_" + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  bench::print(name.c_str(), ms, "cuBLAS", raw_gemm(m, n, k));
}

void measure_conv(std::int64_t side, std::int64_t channels) {
  constexpr std::int64_t batch = 2;
  const auto x = some({batch, side, side, channels}), w = some({channels, 3, 3, channels});
  const auto y = some(x.shape());
  const std::string name = "conv3x3_" + std::to_string(side) + "x" + std::to_string(channels);
  const double limit = raw_gemm(batch * side * side, channels, 9 * channels);
  bench::print(name.c_str(), bench::milliseconds([&] { (void)ops::conv2d(x, w, Matrix{}); }), "its gemm", limit);
  bench::print((name + "_input_gradient").c_str(),
               bench::milliseconds([&] { (void)ops::conv2d_input_gradient(y, w, x.shape()); }), "its gemm", limit);
  bench::print((name + "_weight_gradient").c_str(),
               bench::milliseconds([&] { (void)ops::conv2d_weight_gradient(y, x, w.shape()); }), "its gemm", limit);
}

}  // namespace

int main() {
  if (!bench::have_device("gemm")) return 77;
  measure_gemm(4096, 4096, 4096);
  measure_gemm(8192, 320, 2880);
  measure_gemm(512, 512, 512);
  measure_conv(64, 320);
  measure_conv(32, 640);
  measure_conv(16, 1280);
  measure_conv(8, 1280);
}
