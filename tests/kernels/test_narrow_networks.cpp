// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <other_network_runs.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace network_runs;
using emulated::Kernels;

namespace {

/// Compares a run f<device, type> in T, with the CPU and by kernels, with float of the same inputs and parameters. The
/// tolerance is that of bfloat16; half has an eighth of its roundings, which need not fall alike.
template <class T, class F>
void check(F&& f, double tolerance) {
  if (std::same_as<T, half>) tolerance /= 6;
  const auto want = f.template operator()<Cpu, float>();
  const double cpu = relative(f.template operator()<Cpu, T>(), want);
  const double kernels = relative(f.template operator()<Kernels, T>(), want);
  CHECK(cpu < tolerance);
  CHECK(kernels < tolerance);
  CHECK(cpu > tolerance / 100);  // a run in float would pass too
}

}  // namespace

TEST_CASE_TEMPLATE("16-bit networks: results and gradients are those of float to a few roundings", S, bfloat16, half) {
  check<S>([]<class D, class T>() { return gradients<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return autoencoder<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return text_encoder<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return classifier<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return sampled<D, T, S>(); }, 0.12);
}

TEST_CASE("A distillation step in bfloat16 by kernels is near the CPU's") {
  // The loss is a difference of near equals, so 16 bits leave its size and little more.
  const float cpu = distilled<Cpu, bfloat16>()[0][0], kernels = distilled<Kernels, bfloat16>()[0][0];
  CHECK(std::isfinite(kernels));
  CHECK(std::abs(kernels - cpu) < 0.5F * cpu);
}
