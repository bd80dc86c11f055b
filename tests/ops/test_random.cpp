// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/random.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;

TEST_CASE("Tensors hold the stream's elements from any offset") {
  const Stream s = stream(9, "noise");
  for (const std::int64_t offset : {0, 1, 63, 64, 1000, 12345}) {
    const auto n = ops::normal<float>({3, 777}, s, offset);
    const auto u = ops::uniform<float>({500}, s, 0.0F, 1.0F, offset);
    for (std::int64_t i = 0; i < n.size(); ++i) REQUIRE(n[i] == normal_at(s, static_cast<std::uint64_t>(offset + i)));
    for (std::int64_t i = 0; i < u.size(); ++i) REQUIRE(u[i] == uniform_at(s, static_cast<std::uint64_t>(offset + i)));
  }
  const auto d = ops::normal<double>({100}, s);
  CHECK(d[99] == static_cast<double>(normal_at(s, 99)));
}

TEST_CASE("A batch drawn in parts is the batch") {
  const Stream s = stream(9, "parts");
  const auto whole = ops::normal<float>({1000}, s);
  const Tensor<float> parts(Shape{1000});
  ops::normal_into(parts.slice(0, 333), s);
  ops::normal_into(parts.slice(333, 1000), s, 333);
  CHECK(parts.to_vector() == whole.to_vector());
}

TEST_CASE("Normals have the moments of normals") {
  const auto x = ops::normal<float>({1 << 20}, stream(1, "moments"));
  double m[5] = {};
  for (std::int64_t i = 0; i < x.size(); ++i) {
    double power = 1;
    for (double& sum : m) {
      sum += power;
      power *= static_cast<double>(x[i]);
    }
  }
  const double n = m[0];
  CHECK(std::abs(m[1] / n) < 0.004);      // standard error 0.001
  CHECK(std::abs(m[2] / n - 1) < 0.006);  // 0.0014
  CHECK(std::abs(m[3] / n) < 0.016);      // 0.0038
  CHECK(std::abs(m[4] / n - 3) < 0.04);   // 0.0096
  double neighbours = 0;
  for (std::int64_t i = 0; i + 16 < x.size(); ++i)
    neighbours += static_cast<double>(x[i]) * static_cast<double>(x[i + 16]);
  CHECK(std::abs(neighbours / n) < 0.004);  // element i + 16 is the other half of the same Box-Muller pair
}

TEST_CASE("Uniforms fill their interval") {
  const auto x = ops::uniform<float>({1 << 18}, stream(1, "u"), -2.0F, 6.0F);
  double mean = 0, square = 0;
  for (const float v : x.span()) {
    REQUIRE((v >= -2.0F && v < 6.0F));
    mean += static_cast<double>(v) / static_cast<double>(x.size());
  }
  for (const float v : x.span())
    square += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean) / static_cast<double>(x.size());
  CHECK(mean == doctest::Approx(2).epsilon(0.01));
  CHECK(square == doctest::Approx(64.0 / 12).epsilon(0.02));
}

TEST_CASE("Random numbers are the same bits for any number of threads") {
  CHECK(numbers::same_for_any_threads([] { return ops::normal<float>({100'000}, stream(4, "t"), 7); }));
  CHECK(numbers::same_for_any_threads([] { return ops::uniform<float>({100'000}, stream(4, "t")); }));
  CHECK_THROWS_AS(ops::normal<float>({4}, stream(1, "x"), -1), OptionError);
}
