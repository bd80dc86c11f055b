// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <hypersd/ops/normalize.hpp>

using namespace hypersd;
using emulated::distance_to_cpu;
using emulated::host;
using numbers::normal;
using ops::Activation;

TEST_CASE("Group normalisation by kernels: fewer, as many and more channels than threads") {
  struct Size {
    Shape x;
    std::int64_t groups;
  };
  for (const Size& s :
       {Size{{2, 3, 5, 8}, 4}, Size{{1, 9, 9, 12}, 4}, Size{{3, 1, 1, 6}, 6}, Size{{2, 4, 4, 20}, 2},
        Size{{1, 2, 3, 256}, 1}, Size{{1, 3, 2, 600}, 2}, Size{{1, 3, 2, 600}, 1}, Size{{1, 40, 50, 10}, 1},
        // In chunks: words that two groups share, several chunks, more words than threads, one position.
        Size{{2, 32, 33, 24}, 3}, Size{{3, 64, 64, 40}, 4}, Size{{2, 6, 7, 1040}, 2}, Size{{1, 1, 1, 4096}, 1}}) {
    for (const Activation act : {Activation::none, Activation::silu}) {
      INFO(s.x.str() << " in " << s.groups);
      CHECK(distance_to_cpu([&]<class D>(D) {
              const std::int64_t c = s.x[-1];
              const auto x = normal<float>(s.x, "x").to<D>(), gy = normal<float>(s.x, "gy").to<D>();
              const auto gamma = normal<float>({c}, "gamma").to<D>(), beta = normal<float>({c}, "beta").to<D>();
              const Tensor<float, D> none;
              const auto a = ops::group_norm(x, gamma, beta, s.groups, 1e-2, act);
              const auto b = ops::group_norm(x, none, none, s.groups, 1e-2, act);
              const auto ga = ops::group_norm_gradient(gy, x, gamma, beta, a.mean, a.rstd, act, true);
              const auto gb = ops::group_norm_gradient(gy, x, none, none, b.mean, b.rstd, act, false);
              return std::vector<Tensor<float>>{host(a.y),  host(a.mean),   host(a.rstd),  host(b.y),
                                                host(ga.x), host(ga.gamma), host(ga.beta), host(gb.x)};
            }) < 1e-4);
    }
  }
}

TEST_CASE("Chunks of large maps: each position in one, and where they will do") {
  using ops::launch::GroupChunks;
  for (const std::int64_t batch : {1, 3, 16, 5000})
    for (const std::int64_t positions : {1, 7, 4096, 100000}) {
      const GroupChunks chunks({batch, positions, 320, 32});
      CHECK(chunks.blocks() <= std::max<std::int64_t>(1056, batch));
      std::int64_t next = 0;
      for (std::int64_t i = 0; i < chunks.count; ++i) {
        const auto range = chunks.positions(i);
        REQUIRE(range.begin == next);
        REQUIRE(range.end >= range.begin);
        next = range.end;
      }
      CHECK(next == positions);
    }
  alignas(16) const float data[8] = {};
  CHECK(GroupChunks::fits<float>({1, 4096, 320, 32}, {data, data + 4}));
  CHECK_FALSE(GroupChunks::fits<float>({1, 4096, 320, 32}, {data, data + 1}));
  CHECK_FALSE(GroupChunks::fits<float>({1, 4096, 30, 3}, {data}));
  CHECK_FALSE(GroupChunks::fits<float>({1, 64, 320, 32}, {data}));
  alignas(32) const double wide[4] = {};
  CHECK_FALSE(GroupChunks::fits<double>({1, 4096, 320, 32}, {wide}));
}

TEST_CASE("Every element of a group has one thread") {
  for (const std::int64_t per : {1, 3, 10, 255, 256, 257, 700}) {
    const ops::launch::GroupThreadMap map(per, 256);
    std::vector<int> seen(static_cast<std::size_t>(per * 11), 0);
    for (int t = 0; t < 256; ++t)
      for (std::int64_t c = map.channel(t, 0); c < per; c += map.width)
        for (std::int64_t p = map.lane(t); p < 11; p += map.lanes) ++seen[static_cast<std::size_t>(p * per + c)];
    for (const int n : seen) REQUIRE(n == 1);
  }
}

TEST_CASE("Data far from zero keeps its variance") {
  auto x = normal<float>({1, 16, 16, 4}, "x");
  for (float& v : x.span()) v = 1000.0F + v;
  const auto cpu = ops::group_norm(x, Tensor<float>{}, Tensor<float>{}, 2);
  const Tensor<float, emulated::Kernels> none;
  CHECK(numbers::distance(host(ops::group_norm(x.to<emulated::Kernels>(), none, none, 2).y), cpu.y) < 1e-3);
}
