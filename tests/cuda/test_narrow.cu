// SPDX-License-Identifier: Apache-2.0
#include <network_runs.hpp>
//
#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/resample.hpp>
#include <hypersd/ops/softmax.hpp>

#include <attention_runs.hpp>
#include <gpu.hpp>

using namespace hypersd;
using gpu::have_device;
using narrow::result;
using narrow::Results;
using narrow::roundings;

namespace {

constexpr double once = 1.01;

struct Elements {
  template <class In>
  Results operator()(In in) const {
    const auto x = in({60, 5, 7}, "x"), sample = in({60}, "s"), channel = in({7}, "c");
    return {result(ops::map(ops::Combine{}, x, x, ops::per_sample(sample), ops::per_channel(channel))),
            result(ops::map_sum(ops::Square{}, x)),
            result(ops::sum_to_channels(in({3000, 70}, "long"))),
            result(ops::sum_to_samples(x)),
            result(ops::gated(ops::Gelu{}, in({70, 66}, "u"))),
            result(ops::gated(ops::Gelu{}, in({70, 64}, "v"))),
            result(ops::downsample_mean2(in({3, 6, 4, 5}, "p")))};
  }
};
struct Rows {
  template <class In>
  Results operator()(In in) const {
    const auto x = in({50, 300}, "x"), g = in({50, 300}, "g"), a = in({300}, "a");
    const auto n = ops::layer_norm(x, a, a, 0.1);
    const auto grad = ops::layer_norm_gradient(g, x, a, n.mean, n.rstd, true);
    return {result(ops::softmax(x)), result(ops::softmax_gradient(g, x)), result(n.y), result(grad.x),
            result(grad.gamma)};
  }
};
struct Groups {
  Shape shape{2, 9, 7, 12};
  std::int64_t groups = 3;
  template <class In>
  Results operator()(In in) const {
    const Shape channels{shape[-1]};
    const auto x = in(shape, "x"), gy = in(shape, "gy"), a = in(channels, "a"), b = in(channels, "b");
    const auto n = ops::group_norm(x, a, b, groups, 1e-2, ops::Activation::silu);
    const auto g = ops::group_norm_gradient(gy, x, a, b, n.mean, n.rstd, ops::Activation::silu, true);
    return {result(n.y), result(g.x), result(g.gamma), result(g.beta)};
  }
};
struct Attends {
  template <class In>
  Results operator()(In in) const {
    const auto q = in({2, 70, 24}, "q"), k = in({2, 90, 24}, "k"), v = in({2, 90, 24}, "v");
    auto y = ops::attention(q, k, v, 2);
    const auto out = result(y.y);
    y.y = in.stored(y.y);
    const auto g = ops::attention_gradient(in(q.shape(), "gy"), q, k, v, y, 2);
    return {out, result(g.q), result(g.k), result(g.v)};
  }
};

struct Products {
  template <class In>
  Results operator()(In in) const {
    const auto x = in({50, 304}, "x"), w = in({24, 304}, "w"), bias = in({24}, "b");
    return {result(ops::linear(x, w, bias)), result(ops::matmul(x, w, false, true)),
            result(ops::conv2d(in({2, 6, 8, 8}, "p"), in({16, 3, 3, 8}, "k"), in({16}, "kb"), {1, 1}))};
  }
};

}  // namespace

TEST_CASE("CUDA: 16-bit elements are computed with in float and rounded once") {
  if (!have_device()) return;
  CHECK(roundings<bfloat16, Cuda>(Elements{}) < once);
  CHECK(roundings<hypersd::half, Cuda>(Elements{}) < once);
  CHECK(roundings<bfloat16, Cuda>(Rows{}) < once);
  CHECK(roundings<bfloat16, Cuda>(Groups{}) < once);
  CHECK(roundings<bfloat16, Cuda>(Groups{{1, 32, 32, 40}, 4}) < once);  // in chunks
  CHECK(roundings<bfloat16, Cuda>(Attends{}) < 1.5);
  CHECK(roundings<bfloat16, Cuda>(Products{}) < 1.1);
  CHECK(roundings<hypersd::half, Cuda>(Products{}) < 1.1);
}

TEST_CASE("CUDA: attention on tensor cores errs by the rounding of weights and result") {
  if (!have_device()) return;
  CHECK(attention_runs::worst_excess<bfloat16, Cuda>() < 1);
  CHECK(attention_runs::worst_excess<hypersd::half, Cuda>() < 1);
}

TEST_CASE("CUDA: gradients of attention on tensor cores err by the rounding of P, dS and results") {
  if (!have_device()) return;
  CHECK(attention_runs::worst_gradient_excess<bfloat16, Cuda>() < 1);
  CHECK(attention_runs::worst_gradient_excess<hypersd::half, Cuda>() < 1);
}

TEST_CASE("CUDA: a UNet in bfloat16 is near float, with all its gradients, and so are its samples") {
  if (!have_device()) return;
  using S = bfloat16;
  using namespace network_runs;
  CHECK(relative(gradients<Cuda, S, S>(), gradients<Cpu, float, S>()) < 0.12);
  CHECK(relative(sampled<Cuda, S, S>(), sampled<Cpu, float, S>()) < 0.12);
}
