// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <other_network_runs.hpp>

/// \file
/// Networks in 16 bits against float, on `Cpu` and by kernels.

namespace narrow_networks {

using namespace hypersd;
using namespace network_runs;
using emulated::Kernels;

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

/// Results and gradients of every network in T.
template <class S>
void check_all() {
  check<S>([]<class D, class T>() { return gradients<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return autoencoder<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return text_encoder<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return classifier<D, T, S>(); }, 0.12);
  check<S>([]<class D, class T>() { return sampled<D, T, S>(); }, 0.12);
}

}  // namespace narrow_networks
