// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_normalize.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

namespace {

const Var<double> none;

}  // namespace

TEST_CASE("Group normalization, with and without activation") {
  struct Size {
    Shape x;
    std::int64_t groups;
  };
  for (const Size& s : {Size{{2, 3, 4}, 2}, Size{{2, 2, 3, 6}, 3}, Size{{1, 5, 3}, 1}, Size{{2, 4, 3}, 3},
                        Size{{1, 3, 32}, 4}, Size{{2, 2, 21}, 7}}) {
    const auto x = normal(s.x, "x"), gamma = normal({s.x[-1]}, "g"), beta = normal({s.x[-1]}, "b");
    for (const auto activation : {ops::Activation::none, ops::Activation::silu}) {
      auto norm = [&](const auto& a, const auto& g, const auto& b) {
        return autograd::group_norm(a, g, b, s.groups, 1e-3, activation);
      };
      check::gradient([&](const auto& v) { return norm(v[0], v[1], v[2]); }, {x, gamma, beta});
      check::gradient([&](const auto& v) { return norm(v[0], v[1], none); }, {x, gamma});
      check::gradient([&](const auto& v) { return norm(v[0], none, v[1]); }, {x, beta});
      check::gradient([&](const auto& v) { return norm(v[0], none, none); }, {x});
    }
  }
}

TEST_CASE("Group normalization split along positions") {
  // Central differences of each element take too long here; one random direction suffices.
  const auto x = normal({1, 1500, 20}, "x"), gamma = normal({20}, "g"), beta = normal({20}, "b"),
             w = normal({1, 1500, 20}, "w");
  const std::vector<Tensor<double>> at{x, gamma, beta};
  for (const auto activation : {ops::Activation::none, ops::Activation::silu}) {
    auto loss = [&](const Tensor<double>& a, const Tensor<double>& g, const Tensor<double>& b) {
      const auto y = ops::group_norm(a, g, b, 4, 1e-5, activation).y;
      return ops::map_sum(ops::Mul{}, y, w).item();
    };
    const Var<double> vx(x, true), vg(gamma, true), vb(beta, true);
    autograd::backward(autograd::group_norm(vx, vg, vb, 4, 1e-5, activation), w.clone());
    const std::vector<Tensor<double>> grads{vx.grad(), vg.grad(), vb.grad()};
    for (std::size_t i = 0; i < 3; ++i) {
      const auto direction = normal(at[i].shape(), "direction");
      auto moved = [&](double step) {
        auto p = at;
        p[i] = ops::map(ops::LinearCombination<double>{1, step}, at[i], direction);
        return loss(p[0], p[1], p[2]);
      };
      const double numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      CHECK(ops::map_sum(ops::Mul{}, grads[i], direction).item() == doctest::Approx(numeric).epsilon(1e-6));
    }
  }
}

TEST_CASE("Layer normalization") {
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 2, 16}, Shape{2, 37}, Shape{4, 2}}) {
    const auto x = normal(shape, "x"), gamma = normal({shape[-1]}, "g"), beta = normal({shape[-1]}, "b");
    auto norm = [](const auto& a, const auto& g, const auto& b) { return autograd::layer_norm(a, g, b, 1e-3); };
    check::gradient([&](const auto& v) { return norm(v[0], v[1], v[2]); }, {x, gamma, beta});
    check::gradient([&](const auto& v) { return norm(v[0], v[1], none); }, {x, gamma});
    check::gradient([&](const auto& v) { return norm(v[0], none, v[1]); }, {x, beta});
    check::gradient([&](const auto& v) { return norm(v[0], none, none); }, {x});
  }
}

TEST_CASE("Root mean square normalization") {
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 2, 16}, Shape{2, 37}, Shape{4, 2}}) {
    const auto x = normal(shape, "x"), gamma = normal({shape[-1]}, "g");
    check::gradient([](const auto& v) { return autograd::rms_norm(v[0], v[1], 1e-3); }, {x, gamma});
    check::gradient([](const auto& v) { return autograd::rms_norm(v[0], none, 1e-3); }, {x});
  }
}

TEST_CASE("The gradient is orthogonal to the mean and the scale that a normalization removes") {
  const Var<double> x(normal({2, 9, 8}, "x"), true);
  autograd::backward(autograd::group_norm(x, none, none, 2, 0), normal({2, 9, 8}, "gy"));
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t g = 0; g < 2; ++g) {
      double shift = 0, stretch = 0;
      for (std::int64_t i = 0; i < 36; ++i) {
        const std::int64_t at = (b * 9 + i / 4) * 8 + g * 4 + i % 4;
        shift += x.grad()[at];
        stretch += x.grad()[at] * x.value()[at];
      }
      CHECK(std::abs(shift) < 1e-13);
      CHECK(std::abs(stretch) < 1e-12);
    }
}
