// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/graph.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/ops/reduce.hpp>
#include <limits>
#include <optional>

#include <gpu.hpp>

using namespace hypersd;
using Array = Tensor<float, Cuda>;

namespace {

Array twice(const Array& x) { return ops::map(ops::Add{}, x, x); }

}  // namespace

TEST_CASE("CUDA: a graph computes what its work does, with the contents of each launch") {
  if (!gpu::have_device()) return;
  const auto x = gpu::normal<Cuda>({64, 64}, "x"), w = gpu::normal<Cuda>({64, 64}, "w");
  const Array y(x.shape());
  const Graph<Cuda> graph([&] { ops::gemm(y, twice(x), false, w, false); });
  for (const char* name : {"first", "second"}) {
    x.copy_from(gpu::normal<Cuda>({64, 64}, name));
    const Array expected(x.shape());
    ops::gemm(expected, twice(x), false, w, false);
    y.fill(0);
    graph.launch();
    CHECK(y.to_vector() == expected.to_vector());
  }
}

TEST_CASE("CUDA: what a graph's work leaves behind holds the latest result; what it lets go stays") {
  if (!gpu::have_device()) return;
  std::optional<Array> x = Array::full({1000}, 1);
  const Array source = *x;
  Array left, input = source.clone();
  {
    const Graph<Cuda> graph([&, held = x->clone()]() mutable {
      left = ops::map(ops::Add{}, twice(input), held);
      held = {};
      x.reset();
    });
    for (const float value : {1.0F, 2.0F}) {
      input.fill(value);
      graph.launch();
      CHECK(left.to_vector() == std::vector<float>(1000, 2 * value + 1));
    }
  }
  CHECK(left.to_vector() == std::vector<float>(1000, 5));  // lives as long as the tensor
}

TEST_CASE("CUDA: work that waits is refused, and the thread goes on") {
  if (!gpu::have_device()) return;
  const auto x = Array::full({1}, 3);
  CHECK_THROWS_WITH_AS(Graph<Cuda>([&] { (void)twice(x).item(); }), doctest::Contains("waits for the GPU"),
                       DeviceError);
  CHECK_THROWS_WITH_AS(Graph<Cuda>([&] { (void)Array::from({1}, {3}); }), doctest::Contains("reads host memory"),
                       DeviceError);
  CHECK_THROWS_AS(Graph<Cuda>([&] { (void)cudaDeviceSynchronize(); }), DeviceError);
  CHECK(twice(x).item() == 6);
}

TEST_CASE("CUDA: out of memory has the numbers, and smaller work goes on") {
  if (!gpu::have_device()) return;
  CHECK_THROWS_WITH_AS(Array(Shape{std::int64_t{1} << 44}),
                       doctest::Contains("out of GPU memory: 70368744177664 bytes"), DeviceError);
  CHECK(Array::full({1}, 3).item() == 3);
}
