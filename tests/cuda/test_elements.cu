// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/gather.hpp>
#include <hypersd/ops/resample.hpp>

#include <gpu.hpp>

using namespace hypersd;
using gpu::distance_to_cpu;
using gpu::host;
using gpu::normal;

namespace {

template <class T = float>
using Some = std::vector<Tensor<T>>;

struct Gather {
  template <class D>
  Some<> operator()(D) const {
    Tensor<std::int32_t> ids(Shape{40, 9});
    for (std::int64_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>((i * i + 3 * i) % 51);
    const auto on = ids.to<D>();
    return {host(ops::embedding(normal<D>({60, 130}, "table"), on)),
            host(ops::embedding_gradient(normal<D>({40, 9, 130}, "g"), on, 60))};
  }
};
struct Gated {
  std::int64_t cols;
  template <class D>
  Some<> operator()(D) const {
    const auto x = normal<D>({700, 2 * cols}, "x"), g = normal<D>({700, cols}, "g");
    return {host(ops::gated(ops::Gelu{}, x)), host(ops::gated_gradient(ops::Gelu{}, g, x))};
  }
};
struct Copies {
  template <class D>
  Some<> operator()(D) const {
    const auto a = normal<D>({30, 50, 4}, "a"), b = normal<D>({30, 50, 7}, "b");
    const auto joined = ops::concat_last(a, b);
    const auto into = joined.clone();
    ops::slice_last_into(into, 6, a);
    return {host(joined),
            host(ops::slice_last(joined, 2, 9)),
            host(into),
            host(ops::concat_first(a, a)),
            host(ops::concat_last(a, normal<D>({30, 50, 8}, "c"))),
            host(ops::permute(normal<D>({9, 13, 1, 65}, "x"), {0, 3, 1, 2})),
            host(ops::permute(normal<D>({9, 13, 6, 5}, "y"), {3, 2, 1, 0}))};
  }
};
struct Resampled {
  template <class D>
  Some<> operator()(D) const {
    const auto x = normal<D>({3, 8, 6, 5}, "x"), g = normal<D>({3, 17, 12, 5}, "g"), h = normal<D>({3, 4, 3, 5}, "h");
    return {host(ops::upsample_nearest(x, 17, 12)), host(ops::upsample_nearest(normal<D>({3, 8, 6, 8}, "w"), 17, 12)),
            host(ops::upsample_nearest_gradient(g, Shape{3, 8, 6, 5})), host(ops::downsample_mean2(x)),
            host(ops::downsample_mean2_gradient(h))};
  }
};

}  // namespace

TEST_CASE("CUDA: gather, gated units, copies and resampling") {
  if (!gpu::have_device()) return;
  CHECK(distance_to_cpu(Gather{}) == 0);
  CHECK(distance_to_cpu(Gated{165}) < 1e-5);
  CHECK(distance_to_cpu(Gated{160}) < 1e-5);
  CHECK(distance_to_cpu(Copies{}) == 0);
  CHECK(distance_to_cpu(Resampled{}) < 1e-6);
}

TEST_CASE("CUDA: conversion between element types") {
  if (!gpu::have_device()) return;
  const auto x = normal<Cpu>({1000}, "x");
  const auto on = x.to<Cuda>();
  CHECK(numbers::distance(host(ops::cast<float>(ops::cast<bfloat16>(on))), ops::cast<float>(ops::cast<bfloat16>(x))) ==
        0);
  CHECK(numbers::distance(host(ops::cast<float>(ops::cast<hypersd::half>(on))),
                          ops::cast<float>(ops::cast<hypersd::half>(x))) == 0);
  CHECK(numbers::distance(host(ops::cast<double>(on)), ops::cast<double>(x)) == 0);
  CHECK(host(ops::cast<std::int32_t>(on)).to_vector() == ops::cast<std::int32_t>(x).to_vector());
}
