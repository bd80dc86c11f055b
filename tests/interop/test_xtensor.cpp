// SPDX-License-Identifier: Apache-2.0
#include <hypersd/interop/xtensor.hpp>

#include <doctest/doctest.h>

#include <numeric>
#include <xtensor/xarray.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

using namespace hypersd;

TEST_CASE_TEMPLATE("a tensor seen as an array shares its elements", T, float, double, std::int32_t, std::int64_t,
                   std::uint8_t) {
  Tensor<T> tensor(Shape{2, 3});
  std::iota(tensor.span().begin(), tensor.span().end(), T(0));
  auto array = interop::as_xtensor(tensor);
  CHECK(array.dimension() == 2);
  CHECK(array.shape()[1] == 3);
  CHECK(array.data() == tensor.data());
  CHECK(array(1, 2) == T(5));
  array(0, 1) = T(9);
  CHECK(tensor[1] == T(9));
  xt::view(array, 1, xt::all()) *= T(2);
  CHECK(tensor[5] == T(10));
}

TEST_CASE("the array outlives the tensor") {
  auto array = [] { return interop::as_xtensor(Tensor<float>::full({4}, 2.5F)); }();
  CHECK(xt::sum(array)() == 10.0F);
}

TEST_CASE("expressions become tensors") {
  const xt::xarray<double> a = {{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}};
  const auto plain = interop::to_tensor(a);
  static_assert(std::is_same_v<std::remove_const_t<decltype(plain)>, Tensor<double>>);
  CHECK(plain.shape() == Shape{2, 3});
  CHECK(plain[4] == 5.0);
  const auto lazy = interop::to_tensor<float>(2.0 * xt::square(a) + 1.0);
  CHECK(lazy[5] == 73.0F);
  const auto turned = interop::to_tensor(xt::transpose(a));
  CHECK(turned.shape() == Shape{3, 2});
  CHECK(turned.to_vector() == std::vector<double>{1, 4, 2, 5, 3, 6});
  const auto part = interop::to_tensor(xt::view(a, xt::all(), xt::range(1, 3)));
  CHECK(part.to_vector() == std::vector<double>{2, 3, 5, 6});
  const xt::xtensor<float, 2, xt::layout_type::column_major> column = {{1, 2}, {3, 4}};
  CHECK(interop::to_tensor(column).to_vector() == std::vector<float>{1, 2, 3, 4});
  CHECK(static_cast<float>(interop::to_tensor<bfloat16>(a)[2]) == 3.0F);
}

TEST_CASE("scalars, empty arrays, too many axes") {
  CHECK(interop::to_tensor(xt::xarray<float>(3.0F)).item() == 3.0F);
  CHECK(interop::as_xtensor(Tensor<float>::full(Shape{}, 4.0F))() == 4.0F);
  CHECK(interop::to_tensor(xt::xarray<float>::from_shape({0, 3})).shape() == Shape{0, 3});
  CHECK(interop::as_xtensor(Tensor<float>(Shape{0, 3})).size() == 0);
  CHECK_THROWS_AS(interop::to_tensor(xt::xarray<float>::from_shape({1, 1, 1, 1, 1, 1, 1})), ShapeError);
  CHECK_THROWS_AS(interop::as_xtensor(Tensor<float>()), ShapeError);
}

TEST_CASE("round trip") {
  const auto tensor = Tensor<float>::from({2, 2}, {1, 2, 3, 4});
  const auto copy = interop::to_tensor(interop::as_xtensor(tensor));
  CHECK(copy.to_vector() == tensor.to_vector());
  CHECK(copy.data() != tensor.data());
}
