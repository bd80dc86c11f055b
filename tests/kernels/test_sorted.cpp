// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <hypersd/feedback/matrix_nms.hpp>
#include <hypersd/metrics/neighbors.hpp>

using namespace hypersd;
using numbers::normal;

// Measures and matrix NMS on a device whose memory the host may not read.

TEST_CASE("measures by neighbors are the CPU's, in several blocks of rows") {
  const auto x = normal<float>({300, 5}, "x"), y = normal<float>({270, 5}, "y");
  const auto values = [&]<class D>(D) {
    const auto real = x.to<D>(), drawn = y.to<D>();
    const auto m = metrics::manifold(real, drawn, 3);
    std::vector<double> out = metrics::nearest_distances(drawn, real);
    const std::vector<std::int32_t> labels(300, 1);
    for (const double v : {m.precision, m.recall, m.density, m.coverage}) out.push_back(v);
    out.push_back(metrics::diversity_within_classes(real, labels));
    return out;
  };
  const auto device = values(emulated::Kernels{}), cpu = values(Cpu{});
  REQUIRE(device.size() == cpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) CHECK(device[i] == doctest::Approx(cpu[i]).epsilon(1e-12));
}

TEST_CASE("matrix NMS is the CPU's") {
  const auto category = normal<float>({2, 3, 3, 2}, "category"), mask = normal<float>({2, 6, 5, 9}, "mask");
  const auto found = [&]<class D>(D) {
    const nn::SegmenterOutput<float, D> out{Var<float, D>(category.to<D>()), Var<float, D>(mask.to<D>())};
    return feedback::matrix_nms(out, {.most = 12});
  };
  const auto device = found(emulated::Kernels{}), cpu = found(Cpu{});
  REQUIRE(cpu.size() == 2);
  REQUIRE(device.size() == 2);
  for (std::size_t b = 0; b < 2; ++b) {
    REQUIRE(cpu[b].size() > 3);
    REQUIRE(device[b].size() == cpu[b].size());
    for (std::size_t i = 0; i < cpu[b].size(); ++i) {
      CHECK(device[b][i].label == cpu[b][i].label);
      CHECK(device[b][i].score == doctest::Approx(cpu[b][i].score).epsilon(1e-12));
      CHECK(device[b][i].mask.to_vector() == cpu[b][i].mask.to_vector());
    }
  }
}
