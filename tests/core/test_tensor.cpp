// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/tensor.hpp>
//
#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

using namespace hypersd;

TEST_CASE("An undefined tensor differs from an empty one") {
  const Tensor<float> none;
  CHECK_FALSE(none.defined());
  CHECK(none.size() == 0);
  const Tensor<float> empty(Shape{0, 4});
  CHECK(empty.defined());
  CHECK(empty.size() == 0);
  CHECK(empty.clone().shape() == Shape{0, 4});
}

TEST_CASE("Copies share storage, clones do not") {
  const auto a = Tensor<float>::from({2, 2}, {1, 2, 3, 4});
  const Tensor<float> b = a;  // NOLINT: the copy is what is tested
  const auto c = a.clone();
  b[3] = 9;
  CHECK(a[3] == 9);
  CHECK(c[3] == 4);
  CHECK_FALSE(a.unique());
  CHECK(c.unique());
}

TEST_CASE("Views of leading rows and other shapes share storage") {
  const auto a = Tensor<std::int32_t>::from({3, 2}, {0, 1, 2, 3, 4, 5});
  const auto rows = a.slice(1, 3);
  CHECK(rows.shape() == Shape{2, 2});
  CHECK(rows[0] == 2);
  rows.fill(7);
  CHECK(a.to_vector() == std::vector<std::int32_t>{0, 1, 7, 7, 7, 7});
  const auto flat = a.reshape({6});
  flat[0] = -1;
  CHECK(a[0] == -1);
  CHECK(a.slice(3, 3).size() == 0);
}

TEST_CASE("Storage is aligned for vector registers and outlives its first handle") {
  Tensor<float> view;
  {
    const auto a = Tensor<float>::full({1000}, 3.0F);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
    view = a.slice(990, 1000);
  }
  for (const float v : view.span()) CHECK(v == 3.0F);
}

TEST_CASE("Factories, items and conversions") {
  CHECK(Tensor<double>::ones({3}).to_vector() == std::vector<double>{1, 1, 1});
  CHECK(Tensor<double>::zeros({2}).to_vector() == std::vector<double>{0, 0});
  CHECK(Tensor<float>::full({1}, 2.5F).item() == 2.5F);
  const auto x = Tensor<float>::from({3}, {-1.75F, 0.5F, 300});
  CHECK(x.cast<std::int32_t>().to_vector() == std::vector<std::int32_t>{-1, 0, 300});
  const auto narrow = x.cast<bfloat16>().cast<float>();
  CHECK(narrow[0] == -1.75F);
  CHECK(x.to<Cpu>().data() == x.data());
  const Tensor<float> target(Shape{3});
  target.copy_from(x);
  CHECK(target[2] == 300);
}

TEST_CASE("Mismatched shapes throw and are both named") {
  const Tensor<float> a(Shape{2, 3});
  CHECK_THROWS_WITH_AS((void)a.reshape({4}), "reshape of [2, 3] to [4]", ShapeError);
  CHECK_THROWS_WITH_AS((void)a.slice(1, 3), "slice [1, 3) of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS((void)a.item(), "item() of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(a.copy_from(Tensor<float>(Shape{3, 2})), "copy_from: [3, 2] into [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS((void)Tensor<float>::from({2}, {1, 2, 3}), "Tensor::from: 3 values for shape [2]", ShapeError);
  CHECK_THROWS_WITH_AS(require_same_shape("op", Shape{1}, Shape{2}), "op: shapes [1] and [2] differ", ShapeError);
}

TEST_CASE("A size in bytes beyond 63 bits is refused with the shape, on every way to a tensor") {
  const std::int64_t big = std::int64_t{1} << 62;  // 2^64 bytes of float: 0 modulo the size type
  const char* text =
      "tensor of shape [4611686018427387904] with elements of 4 bytes is too large: it would take 2^63 bytes or more";
  CHECK_THROWS_WITH_AS(Tensor<float>(Shape{big}), text, ShapeError);
  CHECK_THROWS_AS((void)Tensor<float>::zeros({big, 4}), ShapeError);
  CHECK_THROWS_AS((void)Tensor<std::uint8_t>::full({big, 2}, 1), ShapeError);
  CHECK_THROWS_AS((void)Tensor<double>::from({big, big}, {1.0}), ShapeError);
  CHECK_THROWS_AS((void)Tensor<float>(Shape{4}).reshape({big, big}), ShapeError);
  CHECK_THROWS_AS(Tensor<float>(Shape{0, big, 2}), ShapeError);
}

TEST_CASE("Adopted memory is used in place and kept alive") {
  const auto values = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4, 5, 6});
  {
    const auto a = Tensor<float>::adopt({2, 3}, values, values->data());
    CHECK(values.use_count() == 2);
    CHECK(a.data() == values->data());
    CHECK(a.shape() == Shape{2, 3});
    a[4] = 9;
    CHECK((*values)[4] == 9);
    CHECK_FALSE(a.unique());  // others may read the memory: nothing is computed in place
    CHECK_FALSE(Tensor<float>::adopt({6}, nullptr, values->data()).unique());
    CHECK_FALSE(a.slice(1, 2).unique());
    CHECK(a.slice(1, 2).clone().unique());
  }
  CHECK(values.use_count() == 1);
  CHECK(Tensor<float>::adopt({0, 3}, nullptr, nullptr).defined());
  CHECK_THROWS_AS(Tensor<float>::adopt({1}, values, nullptr), ShapeError);
  auto* odd = reinterpret_cast<float*>(reinterpret_cast<char*>(values->data()) + 2);
  CHECK_THROWS_AS(Tensor<float>::adopt({1}, values, odd), ShapeError);
}
