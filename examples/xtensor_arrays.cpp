// SPDX-License-Identifier: Apache-2.0
// hypersd and xtensor on the same memory: read an array, look at it, noise it by a schedule, write it.
//
//   xtensor_arrays [ARRAY.npy]      writes noisy.npy; without a file: an array of its own, nothing written
#include <cstdio>
#include <hypersd/core/philox.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/interop/xtensor.hpp>
#include <hypersd/io/npy.hpp>
#include <hypersd/ops/random.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xview.hpp>

using namespace hypersd;

int main(int argc, char** argv) {
  try {
    // A tensor from a file; `samples` is the same memory, so xtensor's algorithms work on it in place.
    const Tensor<float> tensor =
        argc > 1 ? io::read_npy_as<float>(argv[1]) : ops::uniform<float>({64, 8, 8}, stream(/*seed=*/1, "samples"));
    auto samples = interop::as_xtensor(tensor);
    samples = (samples - xt::mean(samples)()) / (xt::stddev(samples)() + 1e-6F);
    std::printf("%s, normalised: mean %.4f, deviation %.4f\n", tensor.shape().str().c_str(),
                static_cast<double>(xt::mean(samples)()), static_cast<double>(xt::stddev(samples)()));

    // Noise drawn by hypersd, seen by xtensor; the schedule's table as an array.
    const Tensor<float> noise = ops::normal<float>(tensor.shape(), stream(/*seed=*/1, "noise"));
    const auto eps = interop::as_xtensor(noise);
    const std::vector<double> table = diffusion::ScaledLinear().alphas_cumprod();
    const auto alphas_cumprod = xt::adapt(table, {table.size()});
    std::printf("schedule: %zu times, half of the signal's variance is gone at t = %zu\n", table.size(),
                static_cast<std::size_t>(xt::sum(xt::cast<int>(alphas_cumprod > 0.5))()));

    // x_t = alpha_t x_0 + sigma_t eps as a lazy expression, turned into a tensor where it is needed.
    for (const std::size_t t : {99U, 499U, 999U}) {
      const auto a = static_cast<float>(table[t]);
      const Tensor<float> noisy = interop::to_tensor(std::sqrt(a) * samples + std::sqrt(1.0F - a) * eps);
      std::printf("t = %3zu: signal-to-noise ratio %8.4f, deviation of x_t %.4f\n", t,
                  static_cast<double>(a / (1.0F - a)), static_cast<double>(xt::stddev(interop::as_xtensor(noisy))()));
      if (argc > 1 && t == 999) io::write_npy("noisy.npy", noisy);
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
