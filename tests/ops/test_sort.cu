// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/compact.hpp>
#include <hypersd/ops/scan.hpp>
#include <hypersd/ops/sort.hpp>
//
#include <cmath>
#include <gpu.hpp>

using namespace hypersd;
using gpu::distance_to_cpu;
using gpu::host;
using numbers::normal;

namespace {

template <class T>
using Some = std::vector<Tensor<T>>;

// Not in tests/cuda, whose kernels the interpreter of PTX executes: it does not know the instructions of CUB.

/// Few different values: many ties.
Tensor<float> ties(const Shape& shape) {
  auto x = normal<float>(shape, "ties");
  for (float& v : x.span()) v = std::round(4 * v);
  return x;
}

}  // namespace

TEST_CASE("CUDA: sorting and top-k are the CPU's, ties included") {
  if (!gpu::have_device()) return;
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 5000}, Shape{40, 300}, Shape{3, 2, 33}}) {
    INFO(shape.str());
    const auto x = ties(shape);
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto down = ops::sort(x.to<D>()), up = ops::sort(x.to<D>(), ops::Order::ascending);
            const auto top = ops::top_k(x.to<D>(), (shape[-1] + 1) / 2);
            return Some<float>{host(down.values), host(up.values), host(top.values)};
          }) == 0);
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto down = ops::sort(x.to<D>()), up = ops::sort(x.to<D>(), ops::Order::ascending);
            const auto top = ops::top_k(x.to<D>(), (shape[-1] + 1) / 2);
            return Some<std::int32_t>{host(down.indices), host(up.indices), host(top.indices)};
          }) == 0);
  }
  const auto narrow = Tensor<bfloat16>::from({3}, {bfloat16(1.0F), bfloat16(3.0F), bfloat16(2.0F)}).to<Cuda>();
  CHECK(ops::sort(narrow).indices.to_vector() == std::vector<std::int32_t>{1, 2, 0});
}

TEST_CASE("CUDA: prefix sums, exact for integers and the same on every run for floats") {
  if (!gpu::have_device()) return;
  for (const Shape& shape : {Shape{1}, Shape{3000}, Shape{5, 1025}, Shape{70, 3}}) {
    INFO(shape.str());
    Tensor<std::int32_t> n(shape);
    for (std::int64_t i = 0; i < n.size(); ++i) n[i] = static_cast<std::int32_t>(i * i % 17 - 5);
    CHECK(distance_to_cpu([&]<class D>(D) {
            return Some<std::int32_t>{host(ops::inclusive_sum(n.to<D>())), host(ops::exclusive_sum(n.to<D>()))};
          }) == 0);
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto x = normal<float>(shape, "x").to<D>();
            return Some<float>{host(ops::inclusive_sum(x)), host(ops::exclusive_sum(x))};
          }) < 1e-4);
  }
}

TEST_CASE("CUDA: compaction is the CPU's") {
  if (!gpu::have_device()) return;
  for (const std::int64_t n : {1, 100, 5000}) {
    Tensor<std::uint8_t> mask(Shape{n});
    for (std::int64_t i = 0; i < n; ++i) mask[i] = i * i % 7 < 3 ? 1 : 0;
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto all = ops::select(mask.to<D>());
            return Some<std::int32_t>{host(all.indices), host(all.count), host(ops::selected_indices(mask.to<D>()))};
          }) == 0);
    CHECK(distance_to_cpu([&]<class D>(D) {
            return Some<float>{host(ops::copy_if(normal<float>({n, 3}, "x").to<D>(), mask.to<D>()))};
          }) == 0);
  }
}
