// SPDX-License-Identifier: Apache-2.0
/// Memory-bound kernels: group normalization with SiLU, its gradient, AdamW with EMA. And attention.

#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/ema.hpp>
#include <string>

#include "timing.hpp"

using namespace hypersd;

namespace {

using Array = Tensor<float, Cuda>;

void measure_group_norm(std::int64_t side, std::int64_t channels) {
  const Shape shape{16, side, side, channels};
  const auto x = Array::full(shape, 0.5F), gamma = Array::ones({channels}), beta = Array::zeros({channels});
  const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
  const double bandwidth = bench::copy_bandwidth(bytes);
  const std::string name = "group_norm_silu_" + std::to_string(side) + "x" + std::to_string(channels);
  const auto silu = ops::Activation::silu;
  const auto forward = ops::group_norm(x, gamma, beta, 32, 1e-5, silu);
  // Read twice, written once; the gradient reads two arrays twice and writes one, twice.
  bench::print(name.c_str(), bench::milliseconds([&] { (void)ops::group_norm(x, gamma, beta, 32, 1e-5, silu); }),
               "copy bandwidth", 3.0 * static_cast<double>(bytes) / bandwidth);
  bench::print((name + "_gradient").c_str(), bench::milliseconds([&] {
                 (void)ops::group_norm_gradient(x, x, gamma, beta, forward.mean, forward.rstd, silu, true);
               }),
               "copy bandwidth", 6.0 * static_cast<double>(bytes) / bandwidth);
}

void measure_adamw() {
  optim::ParameterList<float, Cuda> list;
  std::int64_t total = 0;
  for (int i = 0; i < 64; ++i) {
    const std::int64_t n = i % 2 == 0 ? std::int64_t{1} << 20 : 320;
    list.push_back({"p" + std::to_string(i), Var<float, Cuda>(Array::full(Shape{n}, 0.5F), true)});
    list.back().var.set_grad(Array::full(Shape{n}, 0.01F));
    total += n;
  }
  optim::AdamW<float, Cuda> optimizer(list);
  optim::Ema<float, Cuda> ema(list, {.decay = 0.999});
  const auto bytes = static_cast<std::size_t>(total) * sizeof(float);
  const double ms = bench::milliseconds([&] {
    optimizer.step(1e-4);
    ema.update();
  });
  // Four arrays read and three written, then two read and one written.
  bench::print("adamw_ema", ms, "copy bandwidth", 10.0 * static_cast<double>(bytes) / bench::copy_bandwidth(bytes));
}

/// `gradient`: the 16-bit forward pass runs on tensor cores, its gradient does not.
template <class T>
void measure_attention(const std::string& kind, std::int64_t n, std::int64_t m, std::int64_t dim, bool gradient) {
  constexpr std::int64_t batch = 2, heads = 8;
  using Rows = Tensor<T, Cuda>;
  const auto q = Rows::full({batch, n, heads * dim}, T(0.1F)), k = Rows::full({batch, m, heads * dim}, T(0.1F));
  const std::string name =
      "attention_" + kind + std::to_string(n) + "x" + std::to_string(m) + "x" + std::to_string(dim);
  const auto y = ops::attention(q, k, k, heads);
  bench::print(name.c_str(), bench::milliseconds([&] { (void)ops::attention(q, k, k, heads); }, 20, 3), "", 0);
  if (gradient)
    bench::print((name + "_gradient").c_str(),
                 bench::milliseconds([&] { (void)ops::attention_gradient(q, q, k, k, y, heads); }, 20, 3), "", 0);
}

/// The largest and smallest feature maps of Stable Diffusion 1.5, and its text.
template <class T>
void measure_attentions(const std::string& kind, bool gradient) {
  measure_attention<T>(kind, 4096, 4096, 40, gradient);
  measure_attention<T>(kind, 4096, 77, 40, gradient);
  measure_attention<T>(kind, 256, 256, 160, gradient);
}

}  // namespace

int main() {
  if (!bench::have_device("memory")) return 77;
  measure_group_norm(64, 320);
  measure_group_norm(16, 1280);
  measure_adamw();
  measure_attentions<float>("", true);
  measure_attentions<bfloat16>("bfloat16_", false);
}
