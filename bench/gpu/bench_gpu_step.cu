// SPDX-License-Identifier: Apache-2.0
/// One TCD step of 64 Mi elements, its noise drawn inside, in float32 and bfloat16, against device-to-device copies.

#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "timing.hpp"

using namespace hypersd;

namespace {

template <class T>
void measure(const char* with_noise, const char* without) {
  const std::int64_t n = std::int64_t{64} << 20;
  const auto table = diffusion::noise_table(diffusion::ScaledLinear{});
  const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
  const auto x = Tensor<T, Cuda>::full(Shape{1, n}, T(0.5F)), prediction = Tensor<T, Cuda>::full(Shape{1, n}, T(0.25F));
  const Tensor<T, Cuda> out(Shape{1, n});
  // Two operands read and one written.
  const double limit = 3.0 * static_cast<double>(bytes) / bench::copy_bandwidth(bytes);
  for (const double eta : {0.3, 0.0}) {
    const diffusion::Tcd solver{{.eta = eta}};
    const auto c = solver.step<diffusion::Epsilon>(table, {999, 749, false});
    const double ms =
        bench::milliseconds([&] { diffusion::apply_step_into(out, {c}, x, prediction, stream(1, "noise")); });
    bench::print(eta > 0 ? with_noise : without, ms, "copy bandwidth", limit);
  }
}

}  // namespace

int main() {
  if (!bench::have_device("step")) return 77;
  measure<float>("step_float32", "step_float32_deterministic");
  measure<bfloat16>("step_bfloat16", "step_bfloat16_deterministic");
}
