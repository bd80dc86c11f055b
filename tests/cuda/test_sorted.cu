// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/matrix_nms.hpp>
#include <hypersd/metrics/neighbors.hpp>
//
#include <gpu.hpp>

using namespace hypersd;
using numbers::normal;

// "CUB": the interpreter of PTX, which does not know the instructions of CUB, leaves these out.

TEST_CASE("CUB: measures by neighbors are the CPU's") {
  if (!gpu::have_device()) return;
  const auto x = normal<float>({300, 5}, "x"), y = normal<float>({270, 5}, "y");
  const auto on_cpu = metrics::manifold(x, y, 3), on_gpu = metrics::manifold(x.to<Cuda>(), y.to<Cuda>(), 3);
  CHECK(on_gpu.precision == doctest::Approx(on_cpu.precision));
  CHECK(on_gpu.recall == doctest::Approx(on_cpu.recall));
  CHECK(on_gpu.density == doctest::Approx(on_cpu.density));
  CHECK(on_gpu.coverage == doctest::Approx(on_cpu.coverage));
  CHECK(metrics::nearest_distances(y.to<Cuda>(), x.to<Cuda>())[7] ==
        doctest::Approx(metrics::nearest_distances(y, x)[7]));
}

TEST_CASE("CUB: matrix NMS is the CPU's") {
  if (!gpu::have_device()) return;
  const auto category = normal<float>({2, 3, 3, 2}, "category"), mask = normal<float>({2, 6, 5, 9}, "mask");
  const auto found = [&]<class D>(D) {
    const nn::SegmenterOutput<float, D> out{Var<float, D>(category.to<D>()), Var<float, D>(mask.to<D>())};
    return feedback::matrix_nms(out, {.most = 12})[1];
  };
  const auto on_gpu = found(Cuda{}), on_cpu = found(Cpu{});
  REQUIRE(on_gpu.size() == on_cpu.size());
  for (std::size_t i = 0; i < on_cpu.size(); ++i) {
    CHECK(on_gpu[i].label == on_cpu[i].label);
    CHECK(on_gpu[i].score == doctest::Approx(on_cpu[i].score));
    CHECK(on_gpu[i].mask.to_vector() == on_cpu[i].mask.to_vector());
  }
}
