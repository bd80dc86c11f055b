// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>
#include <hypersd/ops/conv2d.hpp>

using namespace hypersd;
using emulated::distance_to_cpu;
using emulated::host;
using numbers::normal;

TEST_CASE("Convolutions by kernels: every kind of geometry, packed and single channels") {
  struct Size {
    Shape x, w;
    ops::Conv2dOptions options;
  };
  for (const Size& s : {Size{{2, 5, 4, 3}, {6, 3, 3, 3}, {1, 1}}, Size{{1, 7, 9, 2}, {3, 5, 5, 2}, {1, 2}},
                        Size{{2, 5, 7, 3}, {4, 3, 3, 3}, {2, 1}}, Size{{3, 6, 8, 4}, {4, 3, 3, 4}, {2, 1}},
                        Size{{2, 6, 6, 4}, {5, 3, 3, 4}, {2, 0, 1}}, Size{{2, 5, 5, 8}, {4, 1, 1, 8}, {1, 0}},
                        Size{{2, 5, 5, 8}, {4, 1, 1, 8}, {2, 0}}, Size{{1, 4, 6, 3}, {2, 2, 3, 3}, {1, 0}},
                        Size{{2, 9, 8, 4}, {3, 4, 4, 4}, {4, 0}}, Size{{1, 2, 2, 5}, {3, 3, 3, 5}, {1, 2}}}) {
    INFO(s.x.str() << " with " << s.w.str());
    CHECK(distance_to_cpu([&]<class D>(D) {
            const auto x = normal(s.x, "x").to<D>(), w = normal(s.w, "w").to<D>(), bias = normal({s.w[0]}, "b").to<D>();
            const auto y = ops::conv2d(x, w, bias, s.options);
            const auto gy = normal(y.shape(), "gy").template to<D>();
            return std::vector<Tensor<double>>{host(y), host(ops::conv2d(x, w, Tensor<double, D>{}, s.options)),
                                               host(ops::conv2d_input_gradient(gy, w, s.x, s.options)),
                                               host(ops::conv2d_weight_gradient(gy, x, s.w, s.options))};
          }) < 1e-12);
  }
}

TEST_CASE("Packs are used only where channels and address allow") {
  const Tensor<float> x(Shape{16});
  CHECK(ops::launch::widest_vector<float> == 4);
  CHECK(ops::launch::vectorizable(x.data(), 8, 4));
  CHECK_FALSE(ops::launch::vectorizable(x.data(), 6, 4));
  CHECK_FALSE(ops::launch::vectorizable(x.data() + 1, 8, 4));
}

TEST_CASE("The buffer of patches is bounded, and cut at rows") {
  const ops::Conv2dGeometry g{64, 512, 512, 512, 512, 3, 3, 1, 1, 512, 512};
  const std::int64_t total = g.batch * g.out_height, rows = ops::launch::patch_buffer_rows<float>(g, total);
  CHECK(rows == (256 << 20) / (4 * 512 * 9 * 512));
  CHECK(ops::launch::patch_buffer_rows<float>(g, 3) == 3);
  // Beyond 2^31 elements in all, the last row is still itself.
  const ops::launch::PatchElements<float, 4> last{g, nullptr, total - 1, 1, nullptr};
  CHECK(last.size() == 512 * 9 * 128);
  CHECK((last.row + last.rows - 1) / g.out_height == g.batch - 1);
}
