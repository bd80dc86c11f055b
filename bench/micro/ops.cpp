// SPDX-License-Identifier: Apache-2.0
/// Operations of the networks, small and as in Stable Diffusion 1.5 at 512 x 512 (latents of 64 x 64).
#include "register.hpp"

#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_conv2d.hpp>
#include <hypersd/autograd/grad_gated.hpp>
#include <hypersd/autograd/grad_normalize.hpp>
#include <hypersd/autograd/grad_softmax.hpp>

namespace {

using namespace hypersd;
using bench::op;

template <class T>
using Vars = std::vector<Var<T, bench::BenchDevice>>;

double product(const std::vector<std::int64_t>& n) {
  double out = 1;
  for (const std::int64_t x : n) out *= static_cast<double>(x);
  return out;
}

template <class T>
bool linear(const std::string& size, std::int64_t rows, std::int64_t in, std::int64_t out) {
  return op<T>("linear/" + size, {{rows, in}, {out, in}, {out}}, {2 * product({rows, in, out}), 0},
               [](const Vars<T>& x) { return autograd::linear(x[0], x[1], x[2]); });
}
template <class T>
bool conv3x3(const std::string& size, std::int64_t batch, std::int64_t side, std::int64_t channels) {
  return op<T>("conv3x3/" + size, {{batch, side, side, channels}, {channels, 3, 3, channels}, {channels}},
               {2 * product({batch, side, side, channels, channels, 9}), 0},
               [](const Vars<T>& x) { return autograd::conv2d(x[0], x[1], x[2], {.stride = 1, .pad = 1}); });
}
template <class T>
bool attention(const std::string& size, std::int64_t tokens, std::int64_t keys, std::int64_t width,
               std::int64_t heads) {
  return op<T>("attention/" + size, {{1, tokens, width}, {1, keys, width}, {1, keys, width}},
               {4 * product({tokens, keys, width}), 0},
               [heads](const Vars<T>& x) { return autograd::attention(x[0], x[1], x[2], heads); });
}
template <class T>
bool bound_by_memory(const std::string& size, std::int64_t side, std::int64_t channels) {
  const Shape map{1, side, side, channels};
  const double n = product({side, side, channels}) * sizeof(T);
  return op<T>("group_norm/" + size, {map, {channels}, {channels}}, {0, 3 * n},
               [](const Vars<T>& x) { return autograd::group_norm(x[0], x[1], x[2], 32); }) &&
         op<T>("layer_norm/" + size, {{side * side, channels}, {channels}, {channels}}, {0, 3 * n},
               [](const Vars<T>& x) { return autograd::layer_norm(x[0], x[1], x[2]); }) &&
         op<T>("silu/" + size, {map}, {0, 2 * n}, [](const Vars<T>& x) { return autograd::silu(x[0]); }) &&
         op<T>("geglu/" + size, {{side * side, 2 * channels}}, {0, 3 * n},
               [](const Vars<T>& x) { return autograd::geglu(x[0]); }) &&
         op<T>("add/" + size, {map, map}, {0, 3 * n}, [](const Vars<T>& x) { return autograd::add(x[0], x[1]); });
}

template <class T>
bool all() {
  return linear<T>("small", 256, 256, 256) && linear<T>("sd", 4096, 320, 1280) && conv3x3<T>("small", 4, 8, 64) &&
         conv3x3<T>("sd", 1, 64, 320) && attention<T>("small", 256, 256, 64, 4) &&
         attention<T>("sd_self", 4096, 4096, 320, 8) && attention<T>("sd_cross", 4096, 77, 320, 8) &&
         bound_by_memory<T>("small", 16, 64) && bound_by_memory<T>("sd", 64, 320);
}

const bool registered = all<float>() && all<bfloat16>();

}  // namespace
