// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_attention.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Self-attention and cross-attention with several heads") {
  struct Size {
    std::int64_t batch, n, m, channels, heads;
  };
  for (const Size s :
       {Size{2, 4, 4, 6, 2}, Size{1, 3, 5, 8, 1}, Size{2, 1, 7, 3, 3}, Size{1, 6, 1, 4, 2}, Size{1, 17, 18, 2, 1}}) {
    const auto q = normal({s.batch, s.n, s.channels}, "q"), k = normal({s.batch, s.m, s.channels}, "k"),
               v = normal({s.batch, s.m, s.channels}, "v");
    check::gradient([&](const auto& in) { return autograd::attention(in[0], in[1], in[2], s.heads); }, {q, k, v});
  }
}

TEST_CASE("Causal attention") {
  for (const std::int64_t n : {1, 5, 18}) {
    const auto q = normal({2, n, 4}, "q"), k = normal({2, n, 4}, "k"), v = normal({2, n, 4}, "v");
    check::gradient([](const auto& in) { return autograd::attention(in[0], in[1], in[2], 2, true); }, {q, k, v});
  }
}

TEST_CASE("One variable as queries, keys and values") {
  check::gradient([](const auto& in) { return autograd::attention(in[0], in[0], in[0], 2); }, {normal({2, 5, 4}, "x")});
}

TEST_CASE("Attention over more tokens than a tile") {
  // In one random direction, because central differences of each element take too long.
  for (const bool causal : {false, true}) {
    const std::vector<Tensor<double>> at{normal({1, 150, 12}, "q"), normal({1, 150, 12}, "k"),
                                         normal({1, 150, 12}, "v")};
    const auto w = normal({1, 150, 12}, "w");
    std::vector<Var<double>> in;
    for (const auto& t : at) in.emplace_back(t, true);
    autograd::backward(autograd::attention(in[0], in[1], in[2], 2, causal), w.clone());
    for (std::size_t i = 0; i < 3; ++i) {
      const auto direction = normal(at[i].shape(), "direction");
      auto loss = [&](double step) {
        auto p = at;
        p[i] = at[i].clone();
        for (std::int64_t j = 0; j < p[i].size(); ++j) p[i][j] += step * direction[j];
        const auto y = ops::attention(p[0], p[1], p[2], 2, causal).y;
        double total = 0;
        for (std::int64_t j = 0; j < y.size(); ++j) total += y[j] * w[j];
        return total;
      };
      double slope = 0;
      for (std::int64_t j = 0; j < direction.size(); ++j) slope += in[i].grad()[j] * direction[j];
      CHECK(slope == doctest::Approx((loss(1e-5) - loss(-1e-5)) / 2e-5).epsilon(1e-6));
    }
  }
}
