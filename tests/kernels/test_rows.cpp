// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/softmax.hpp>

using namespace hypersd;
using emulated::distance_to_cpu;
using emulated::host;
using numbers::normal;

namespace {

using Some = std::vector<Tensor<float>>;

template <class D>
Tensor<float, D> on(const Shape& shape, const char* name) {
  return normal<float>(shape, name).template to<D>();
}

}  // namespace

TEST_CASE("Softmax and cross-entropy by kernels, short and long rows") {
  for (const std::int64_t cols : {1, 2, 31, 32, 33, 64, 65, 255, 256, 257, 1000}) {
    INFO(cols);
    Tensor<std::int32_t> labels(Shape{5});
    for (std::int64_t r = 0; r < 5; ++r) labels[r] = static_cast<std::int32_t>((7 * r + 3) % cols);
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto x = on<D>({5, cols}, "x"), g = on<D>({5, cols}, "g");
            const auto y = ops::softmax(x);
            const auto target = labels.to<D>();
            const auto one = Tensor<float, D>::full({1}, 0.5F);
            return Some{host(y),
                        host(ops::softmax_gradient(g, y)),
                        host(ops::cross_entropy(x, target)),
                        host(ops::cross_entropy(x, target, 0.1)),
                        host(ops::cross_entropy_gradient(one, x, target)),
                        host(ops::cross_entropy_gradient(one, x, target, 0.1))};
          }) < 3e-6);
  }
}

TEST_CASE("A kernel's cross-entropy is NaN for a label outside") {
  using D = emulated::Kernels;
  const auto x = on<D>({2, 3}, "x");
  const float loss = ops::cross_entropy(x, Tensor<std::int32_t, D>::from({2}, {1, 3})).item();
  CHECK(loss != loss);
}

TEST_CASE("Layer and RMS normalisation by kernels, with and without parameters") {
  for (const std::int64_t cols : {1, 7, 64, 65, 300}) {
    for (const std::int64_t rows : {1, 3, 700}) {
      INFO(rows << " x " << cols);
      CHECK(distance_to_cpu([&]<class D>(D) {
              const auto x = on<D>({rows, cols}, "x"), gy = on<D>({rows, cols}, "gy");
              const auto gamma = on<D>({cols}, "gamma"), beta = on<D>({cols}, "beta");
              const auto a = ops::layer_norm(x, gamma, beta, 0.1);
              const auto b = ops::layer_norm(x, Tensor<float, D>{}, Tensor<float, D>{}, 0.1);
              const auto ga = ops::layer_norm_gradient(gy, x, gamma, a.mean, a.rstd, true);
              const auto gb = ops::layer_norm_gradient(gy, x, Tensor<float, D>{}, b.mean, b.rstd, false);
              return Some{host(a.y),  host(a.mean), host(a.rstd),   host(b.y),
                          host(ga.x), host(gb.x),   host(ga.gamma), host(ga.beta)};
            }) < 1e-4);
      CHECK(distance_to_cpu([&]<class D>(D) {
              const auto x = on<D>({rows, cols}, "x"), gy = on<D>({rows, cols}, "gy"), gamma = on<D>({cols}, "gamma");
              const auto a = ops::rms_norm(x, gamma, 0.1), b = ops::rms_norm(x, Tensor<float, D>{}, 0.1);
              const auto ga = ops::rms_norm_gradient(gy, x, gamma, a.mean, a.rstd, true);
              const auto gb = ops::rms_norm_gradient(gy, x, Tensor<float, D>{}, b.mean, b.rstd, false);
              return Some{host(a.y), host(a.rstd), host(b.y), host(ga.x), host(gb.x), host(ga.gamma)};
            }) < 1e-4);
    }
  }
}
