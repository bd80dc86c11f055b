// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/gather.hpp>
#include <hypersd/ops/linear.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <each_instruction_set.hpp>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

/// Whether f(weight) has the same bits for a constant weight, also in strips of any instruction set, and its float
/// copy, on every instruction set and for any number of threads. The copy is converted element by element by T's own
/// operator.
template <class T, class F>
bool same_bits(const Shape& shape, F&& f) {
  const auto stored = ops::cast<T>(normal<float>(shape, "w"));
  const Tensor<float> wide = stored.template cast<float>();
  std::vector<ConstantTensor> constants{ConstantTensor(stored)};
  for_each_instruction_set([&](InstructionSet) { constants.push_back(ops::packed(constants[0])); });
  bool same = true;
  for_each_instruction_set([&](InstructionSet) {
    const auto want = f(wide).to_vector();
    for (const ConstantTensor& w : constants) same = same && f(w).to_vector() == want;
    for (const ConstantTensor& w : {constants.front(), constants.back()})
      same = same && numbers::same_for_any_threads([&] { return f(w); });
  });
  return same;
}
template <class F>
void check_same_bits(const Shape& shape, F&& f) {
  CAPTURE(shape.str());
  CHECK(same_bits<half>(shape, f));
  CHECK(same_bits<bfloat16>(shape, f));
  CHECK(same_bits<float>(shape, f));
}

}  // namespace

TEST_CASE("weights of 16 bits: widening is that of the element types, for every pattern of bits and any length") {
  for_each_instruction_set([&](InstructionSet) {
    const auto check = [](auto type) {
      using T = decltype(type);
      Tensor<T> all(Shape{65536});
      for (std::int64_t i = 0; i < 65536; ++i) all[i].bits = static_cast<std::uint16_t>(i);
      const Tensor<float> got = ops::widen(ConstantTensor(all));
      std::int64_t different = 0;
      for (std::int64_t i = 0; i < 65536; ++i) {
        const auto want = static_cast<float>(all[i]);
        const bool same = std::bit_cast<std::uint32_t>(got[i]) == std::bit_cast<std::uint32_t>(want);
        different += same || (std::isnan(want) && std::isnan(got[i])) ? 0 : 1;
      }
      CHECK(different == 0);
      for (const std::int64_t n : {0, 1, 7, 9, 19})
        CHECK(ops::widen(ConstantTensor(all.slice(1000, 1000 + n))).to_vector() ==
              all.slice(1000, 1000 + n).template cast<float>().to_vector());
    };
    check(half());
    check(bfloat16());
  });
}

TEST_CASE("packed weights: strips of the kernel's columns, the last one filled up; widening restores the elements") {
  for_each_instruction_set([&](InstructionSet) {
    const auto check = [](auto type, const Shape& shape) {
      using T = decltype(type);
      const auto w = ops::cast<T>(normal<float>(shape, "w"));
      const ConstantTensor constant(w), packed = ops::packed(constant);
      REQUIRE(packed.strip() == ops::backend::gemm_kernel<float>().columns);
      const std::int64_t rows = shape[0], depth = shape.numel_from(1), strips = (rows - 1) / packed.strip() + 1;
      const auto item = static_cast<std::int64_t>(sizeof(T));
      CHECK(constant.bytes() == item * rows * depth);
      CHECK(packed.bytes() == item * strips * packed.strip() * depth);
      CHECK(packed.shape() == shape);
      CHECK(ops::widen(packed).to_vector() == w.template cast<float>().to_vector());
      CHECK(ops::packed(packed).strip() == packed.strip());
      // Element (33, 2) by the definition of the order.
      const std::int64_t at = (33 / packed.strip() * depth + 2) * packed.strip() + 33 % packed.strip();
      if constexpr (std::same_as<T, float>)
        CHECK(packed.floats()[at] == w[33 * depth + 2]);
      else
        CHECK(packed.bits()[at] == w[33 * depth + 2].bits);
    };
    for (const Shape& shape : {Shape{64, 70}, Shape{53, 3, 3, 5}}) {
      check(half(), shape);
      check(bfloat16(), shape);
      check(float(), shape);
    }
  });
  CHECK(ops::packed(ConstantTensor(normal<float>({31, 8}, "w"))).strip() == 0);  // too few rows
  const auto packed = ops::packed(ConstantTensor(normal<float>({40, 8}, "w")));
  CHECK(packed.reshape({40, 2, 4}).shape() == Shape{40, 2, 4});
  CHECK_THROWS_WITH_AS((void)packed.reshape({80, 4}), "reshape of [40, 8] to [80, 4]", ShapeError);
}

TEST_CASE("weights of 16 bits: linear has the bits of float copies, in few and many rows and columns") {
  struct Size {
    std::int64_t rows, in, out;
  };
  // Dot products of few rows, split sums, one tile, incomplete tiles, many blocks of rows, few columns as rows.
  for (const Size& s : {Size{1, 320, 1280},
                        {3, 1500, 70},
                        {40, 4100, 130},
                        {6, 8, 16},
                        {77, 97, 53},
                        {4, 15, 40},
                        {9, 1500, 40},
                        {700, 321, 96},
                        {500, 640, 132},
                        {300, 33, 3},
                        {300, 64, 6},
                        {5, 7, 1},
                        {9, 1, 9}}) {
    const auto x = normal<float>({s.rows, s.in}, "x"), bias = normal<float>({s.out}, "b"),
               gy = normal<float>({s.rows, s.out}, "gy");
    check_same_bits({s.out, s.in}, [&](const auto& w) { return ops::linear(x, w, bias); });
    check_same_bits({s.out, s.in}, [&](const auto& w) { return ops::linear_input_gradient(gy, w); });
  }
  const auto w = ops::cast<half>(normal<float>({5, 4}, "w"));
  CHECK_THROWS_WITH_AS(ops::linear(normal<float>({2, 3}, "x"), ConstantTensor(w), Tensor<float>{}),
                       "linear: input [2, 3] and weight [5, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::linear_input_gradient(normal<float>({2, 3}, "x"), ConstantTensor(w)),
                       "linear_input_gradient: gradient [2, 3] and weight [5, 4]", ShapeError);
}

TEST_CASE("weights of 16 bits: convolutions have the bits of float copies, direct and by Winograd") {
  struct Size {
    Shape x, w;
    ops::Conv2dOptions options;
  };
  // 1x1, 3x3 of stride 1 and 2, a kernel of another size, few channels; then shapes that Winograd's method takes.
  for (const Size& s : {Size{{2, 9, 7, 40}, {48, 1, 1, 40}, {1, 0}}, Size{{2, 9, 7, 20}, {24, 3, 3, 20}, {1, 1}},
                        Size{{1, 12, 12, 24}, {20, 3, 3, 24}, {2, 1}}, Size{{1, 8, 8, 4}, {33, 4, 4, 4}, {2, 0}},
                        Size{{1, 16, 16, 32}, {3, 3, 3, 32}, {1, 1}}, Size{{1, 30, 27, 128}, {144, 3, 3, 128}, {1, 1}},
                        Size{{2, 26, 30, 128}, {144, 3, 3, 128}, {1, 1}}, Size{{7, 8, 8, 32}, {48, 3, 3, 32}, {1, 1}},
                        Size{{33, 2, 2, 40}, {48, 3, 3, 40}, {1, 1}}, Size{{34, 2, 2, 20}, {39, 3, 3, 20}, {1, 1}}}) {
    const auto x = normal<float>(s.x, "x"), bias = normal<float>({s.w[0]}, "b");
    check_same_bits(s.w, [&](const auto& w) { return ops::conv2d(x, w, bias, s.options); });
    const auto gy = normal<float>(ops::conv2d(x, normal<float>(s.w, "w"), Tensor<float>{}, s.options).shape(), "gy");
    check_same_bits(s.w, [&](const auto& w) { return ops::conv2d_input_gradient(gy, w, s.x, s.options); });
  }
}

TEST_CASE("weights of 16 bits: rows of a table are those of its float copy") {
  const auto ids = Tensor<std::int32_t>::from({2, 3}, {4, 0, 12, 12, 7, 1});
  check_same_bits({13, 11}, [&](const auto& table) { return ops::embedding(table, ids); });
  const ConstantTensor table(ops::cast<half>(normal<float>({13, 11}, "w")));
  CHECK_THROWS_AS(ops::embedding(table, Tensor<std::int32_t>::from({1}, {13})), OptionError);
}
