// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/gather.hpp>
#include <hypersd/ops/resample.hpp>

#include <cstdlib>

using namespace hypersd;
using emulated::distance_to_cpu;
using emulated::host;
using numbers::normal;

namespace {

template <class T>
using Some = std::vector<Tensor<T>>;

/// Zeros of which only what is touched takes memory; null where the system does not lend that much.
struct Huge {
  explicit Huge(std::int64_t n) : data(static_cast<std::uint8_t*>(std::calloc(static_cast<std::size_t>(n), 1))) {}
  ~Huge() { std::free(data); }
  Huge(const Huge&) = delete;
  Huge& operator=(const Huge&) = delete;
  std::uint8_t* data;
};

}  // namespace

TEST_CASE("Embedding and its gradient by kernels are the CPU's, bit for bit") {
  for (const std::int64_t cols : {1, 3, 130}) {
    Tensor<std::int32_t> ids(Shape{7, 9});
    for (std::int64_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>((i * i + 3 * i) % 11);
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto table = normal<float>({12, cols}, "table").to<D>(), g = normal<float>({7, 9, cols}, "g").to<D>();
            const auto on = ids.to<D>();
            return Some<float>{host(ops::embedding(table, on)), host(ops::embedding_gradient(g, on, 12))};
          }) == 0);
  }
}

TEST_CASE("A kernel gives zeros for an id outside the table, and no gradient") {
  using D = emulated::Kernels;
  const auto ids = Tensor<std::int32_t, D>::from({3}, {-1, 2, 4});
  const auto table = Tensor<float, D>::ones({4, 2});
  CHECK(ops::embedding(table, ids).to_vector() == std::vector<float>{0, 0, 1, 1, 0, 0});
  CHECK(ops::embedding_gradient(Tensor<float, D>::ones({3, 2}), ids, 4).to_vector() ==
        std::vector<float>{0, 0, 0, 0, 1, 1, 0, 0});
}

TEST_CASE("Gated units by kernels") {
  for (const Shape& shape : {Shape{5, 2}, Shape{3, 4, 18}, Shape{40, 300}, Shape{6, 48}}) {
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto x = normal<float>(shape, "x").to<D>(),
                       g = normal<float>(shape.with(-1, shape[-1] / 2), "g").to<D>();
            return Some<float>{host(ops::gated(ops::Gelu{}, x)), host(ops::gated_gradient(ops::Gelu{}, g, x)),
                               host(ops::gated(ops::Silu{}, x))};
          }) < 1e-6);
  }
}

TEST_CASE("Copies by kernels") {
  CHECK(distance_to_cpu([]<class D>(D) {
          const auto a = normal<float>({3, 5, 4}, "a").to<D>(), b = normal<float>({3, 5, 7}, "b").to<D>();
          const auto joined = ops::concat_last(a, b);
          const auto into = joined.clone();
          ops::slice_last_into(into, 6, a);
          return Some<float>{host(joined), host(ops::slice_last(joined, 2, 9)), host(into),
                             host(ops::concat_first(a, a))};
        }) == 0);
  // Several elements at a time, and from a place where that cannot be.
  CHECK(distance_to_cpu([]<class D>(D) {
          const auto a = normal<float>({3, 5, 4}, "a").to<D>(), b = normal<float>({3, 5, 8}, "b").to<D>();
          const auto joined = ops::concat_last(a, b);
          return Some<float>{host(joined), host(ops::slice_last(joined, 4, 12)), host(ops::slice_last(joined, 2, 10))};
        }) == 0);
  for (const std::vector<int>& axes : {std::vector<int>{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 3, 1, 2}, {2, 0, 3, 1}}) {
    CHECK(distance_to_cpu([&]<class D>(D) {
            return Some<double>{host(ops::permute(normal({2, 3, 1, 65}, "x").to<D>(), axes)),
                                host(ops::permute(normal({7, 5, 4, 3}, "y").to<D>(), axes))};
          }) == 0);
  }
}

TEST_CASE("Resampling by kernels is the CPU's, bit for bit") {
  for (const auto& [h, w] : std::vector<std::pair<std::int64_t, std::int64_t>>{{8, 6}, {7, 5}, {4, 3}, {11, 3}}) {
    CHECK(distance_to_cpu([&, h = h, w = w]<class D>(D) {
            const auto x = normal<float>({2, 4, 3, 5}, "x").to<D>(), g = normal<float>({2, h, w, 5}, "g").to<D>();
            return Some<float>{host(ops::upsample_nearest(x, h, w)),
                               host(ops::upsample_nearest_gradient(g, Shape{2, 4, 3, 5})),
                               host(ops::upsample_nearest(normal<float>({2, 4, 3, 8}, "wide").to<D>(), h, w))};
          }) == 0);
  }
  CHECK(distance_to_cpu([]<class D>(D) {
          const auto x = normal<float>({3, 6, 4, 7}, "x").to<D>(), g = normal<float>({3, 3, 2, 7}, "g").to<D>();
          return Some<float>{host(ops::downsample_mean2(x)), host(ops::downsample_mean2_gradient(g))};
        }) == 0);
}

TEST_CASE("Elements beyond 2^31 are found") {
  const std::int64_t n = (std::int64_t{1} << 31) + 12345;
  CHECK_FALSE(ops::launch::narrow(n));
  const std::int64_t cols = 1000, rows = n / cols + 1;
  const Huge from(rows * (cols + 8)), to(rows * (cols + 8));
  if (!from.data || !to.data) return;
  const ops::launch::CopyColumnsElements<std::uint8_t, 1> copy{to.data, cols, from.data + 8, cols + 8, rows, cols};
  REQUIRE(copy.size() == rows * cols);
  for (const std::int64_t i : {std::int64_t{0}, n, copy.size() - 1}) {
    from.data[i / cols * (cols + 8) + 8 + i % cols] = 7;
    copy(i);
    CHECK(to.data[i] == 7);
  }
  // [a, b] -> [b, a] of as many elements.
  ops::PermuteGeometry g;
  g.rank = 2;
  g.extent[0] = cols;
  g.extent[1] = rows;
  g.stride[0] = 1;
  g.stride[1] = cols;
  const ops::launch::PermuteElements<std::uint8_t> turn{g, from.data, to.data};
  REQUIRE(turn.size() == rows * cols);
  for (const std::int64_t i : {n, turn.size() - 1}) {
    from.data[i % rows * cols + i / rows] = 9;
    turn(i);
    CHECK(to.data[i] == 9);
  }
  const auto p = ops::launch::pixel(n, 700, 900, 3);
  CHECK(ops::launch::pixel_index(p.b, p.y, p.x, p.c, 700, 900, 3) == n);
}
