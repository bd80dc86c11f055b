// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/gather.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

/// Ids with repetitions; row 1 is never named.
Tensor<std::int32_t> some_ids(const Shape& shape, std::int64_t rows) {
  Tensor<std::int32_t> ids(shape);
  for (std::int64_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<std::int32_t>((i * i + 3 * i) % rows);
    if (ids[i] == 1) ids[i] = 0;
  }
  return ids;
}

}  // namespace

TEST_CASE("An embedding is the row of each id") {
  for (const Shape& shape : {Shape{7}, Shape{3, 5}, Shape{2, 2, 2}, Shape{400, 77}}) {
    const auto table = normal<float>({90, 6}, "table");
    const auto ids = some_ids(shape, 90);
    const auto y = ops::embedding(table, ids);
    Shape expected = shape;
    expected.push_back(6);
    REQUIRE(y.shape() == expected);
    for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y[i] == table[ids[i / 6] * 6 + i % 6]);
  }
}

TEST_CASE("The gradient of an embedding adds up the rows of each id") {
  for (const std::int64_t rows : {2, 5, 90, 1000}) {
    const auto ids = some_ids({3, 50}, rows);
    const auto g = normal({3, 50, 4}, "g");
    const auto expected = Tensor<double>::zeros({rows, 4});
    for (std::int64_t i = 0; i < g.size(); ++i) expected[ids[i / 4] * 4 + i % 4] += g[i];
    const auto got = ops::embedding_gradient(g, ids, rows);
    CHECK(got.to_vector() == expected.to_vector());  // the order of the ids is documented
    for (std::int64_t c = 0; c < 4; ++c) CHECK(got[4 + c] == 0);
  }
}

TEST_CASE("Embeddings are the same bits for any number of threads") {
  const auto table = normal<float>({1000, 40}, "table"), g = normal<float>({900, 40}, "g");
  const auto ids = some_ids({900}, 1000);
  CHECK(numbers::same_for_any_threads([&] { return ops::embedding(table, ids); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::embedding_gradient(g, ids, 1000); }));
}

TEST_CASE("No ids give nothing; ids outside the table are named") {
  const auto table = normal({4, 3}, "table");
  const Tensor<std::int32_t> none(Shape{2, 0});
  CHECK(ops::embedding(table, none).shape() == Shape{2, 0, 3});
  CHECK(ops::embedding_gradient(Tensor<double>(Shape{2, 0, 3}), none, 4).to_vector() == std::vector<double>(12));
  for (const std::int32_t bad : {-1, 4}) {
    const std::string message = "embedding: id " + std::to_string(bad) + " not in [0, 4)";
    CHECK_THROWS_WITH_AS(ops::embedding(table, Tensor<std::int32_t>::from({2}, {0, bad})), message.c_str(),
                         OptionError);
  }
  CHECK_THROWS_WITH_AS(ops::embedding(normal({4}, "t"), none), "embedding: table [4], ids [2, 0]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::embedding_gradient(normal({3, 3}, "g"), some_ids({2}, 4), 4),
                       "embedding_gradient: gradient [3, 3], ids [2]", ShapeError);
}
