// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/affine_step.hpp>
//
#include <doctest/doctest.h>

#include <cstring>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

const Stream noise = stream(11, "affine_step");

/// Operands of a batch; the noise of sample 1 is 0. The scales hold for every element type.
template <class T>
ops::AffineStep<T, Cpu> operands(const Shape& shape, bool second, bool noisy) {
  using A = Accumulator<T>;
  auto elements = [&](const char* name) { return ops::cast<T>(normal<float>(shape, name)); };
  ops::AffineStep<T, Cpu> a{elements("x"), normal<A>({shape[0]}, "xs"), elements("first"), normal<A>({shape[0]}, "fs")};
  if (second) a.second = elements("second"), a.second_scale = normal<A>({shape[0]}, "ss");
  if (noisy) {
    a.noise_scale = normal<A>({shape[0]}, "ns");
    if (shape[0] > 1) a.noise_scale[1] = 0;
  }
  return a;
}

template <class T>
double d(T x) {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else
    return static_cast<double>(static_cast<float>(x));
}

/// The definition, in double; also the sum of the magnitudes of the addends, for bounds of the rounding.
template <class T>
std::pair<Tensor<double>, Tensor<double>> definition(const ops::AffineStep<T, Cpu>& a, std::int64_t offset) {
  const Tensor<double> sum(a.x.shape()), size(a.x.shape());
  for (std::int64_t i = 0; i < sum.size(); ++i) {
    const std::int64_t b = i / (sum.size() / sum.dim(0));
    const double x = d(a.x_scale[b]) * d(a.x[i]), first = d(a.first_scale[b]) * d(a.first[i]);
    const double second = a.second.defined() ? d(a.second_scale[b]) * d(a.second[i]) : 0;
    const double z =
        a.noise_scale.defined() ? d(a.noise_scale[b]) * d(normal_at(noise, static_cast<std::uint64_t>(offset + i))) : 0;
    sum[i] = x + first + second + z;
    size[i] = std::abs(x) + std::abs(first) + std::abs(second) + std::abs(z);
  }
  return {sum, size};
}

/// `unit` is half the distance between neighbours of T near 1.
template <class T>
void check_all(double unit) {
  const double arithmetic = sizeof(T) == 8 ? 1e-15 : 3e-7;
  // Samples longer and shorter than a block of the generator, and more than one task.
  for (const Shape& shape :
       {Shape{3, 20011}, Shape{5, 3}, Shape{2, 8, 8, 3}, Shape{1, 1}, Shape{700, 37}, Shape{3, 64}}) {
    for (const bool second : {false, true}) {
      for (const std::int64_t offset : {-1, 0, 64, 1001}) {  // -1: no noise
        const auto a = operands<T>(shape, second, offset >= 0);
        const auto [sum, size] = definition(a, offset);
        const Tensor<T> out(shape);
        ops::affine_step_into(out, a, noise, std::max<std::int64_t>(0, offset));
        double worst = 0;
        for (std::int64_t i = 0; i < out.size(); ++i)
          worst = std::max(
              worst, std::abs(d(out[i]) - sum[i]) / (unit * std::abs(sum[i]) + arithmetic * size[i] + 1e-7 * unit));
        CHECK(worst < 1.01);
      }
    }
  }
}

template <class T>
bool same_bits(const Tensor<T>& a, const Tensor<T>& b) {
  return a.shape() == b.shape() && std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

}  // namespace

TEST_CASE("A step is the sum of its scaled operands and noise, in double") { check_all<double>(1.2e-16); }
TEST_CASE("A step is the sum of its scaled operands and noise, in float") { check_all<float>(6e-8); }
TEST_CASE("Half storage is rounded once") { check_all<half>(1.0 / 2048); }
TEST_CASE("Bfloat16 storage is rounded once") { check_all<bfloat16>(1.0 / 256); }

TEST_CASE("A step is what separate maps give") {
  const auto a = operands<double>({4, 5, 6, 3}, true, true);
  const Tensor<double> out(a.x.shape());
  ops::affine_step_into(out, a, noise, 77);
  const auto z = ops::normal<double>(out.shape(), noise, 77);
  const auto first = ops::map(ops::Combine{}, a.x, a.first, ops::per_sample(a.x_scale), ops::per_sample(a.first_scale));
  const auto rest =
      ops::map(ops::Combine{}, a.second, z, ops::per_sample(a.second_scale), ops::per_sample(a.noise_scale));
  CHECK(numbers::distance(out, ops::map(ops::Add{}, first, rest)) < 1e-14);
}

TEST_CASE("The noise alone is that of the stream") {
  for (const std::int64_t offset : {0, 5, 640}) {
    const auto zero = Tensor<float>::zeros({2, 5000}), none = Tensor<float>::zeros({2}), one = Tensor<float>::ones({2});
    const Tensor<float> out(Shape{2, 5000});
    ops::affine_step_into(out, {zero, none, zero, none, {}, {}, one}, noise, offset);
    CHECK(numbers::distance(out, ops::normal<float>({2, 5000}, noise, offset)) == 0);
  }
}

TEST_CASE("The result may be any operand") {
  for (const Shape& shape : {Shape{3, 20011}, Shape{40, 37}}) {
    const auto a = operands<float>(shape, true, true);
    const Tensor<float> out(shape);
    ops::affine_step_into(out, a, noise, 3);
    for (Tensor<float> ops::AffineStep<float, Cpu>::*member :
         {&ops::AffineStep<float, Cpu>::x, &ops::AffineStep<float, Cpu>::first, &ops::AffineStep<float, Cpu>::second}) {
      auto in_place = a;
      in_place.*member = (a.*member).clone();
      ops::affine_step_into(in_place.*member, in_place, noise, 3);
      CHECK(same_bits(in_place.*member, out));
    }
  }
}

TEST_CASE("A batch in parts is the batch") {
  const auto a = operands<float>({5, 1003}, true, true);
  const Tensor<float> whole(a.x.shape()), parts(a.x.shape());
  ops::affine_step_into(whole, a, noise, 9);
  for (const auto& [begin, end] : {std::pair(0, 2), std::pair(2, 3), std::pair(3, 5)}) {
    auto cut = [&, begin = begin, end = end](const Tensor<float>& t) { return t.slice(begin, end); };
    ops::affine_step_into(cut(parts),
                          {cut(a.x), cut(a.x_scale), cut(a.first), cut(a.first_scale), cut(a.second),
                           cut(a.second_scale), cut(a.noise_scale)},
                          noise, 9 + begin * 1003);
  }
  CHECK(same_bits(parts, whole));
}

TEST_CASE("Steps are the same bits for any number of threads") {
  const auto a = operands<float>({3, 40011}, true, true);
  CHECK(numbers::same_for_any_threads([&] {
    Tensor<float> out(a.x.shape());
    ops::affine_step_into(out, a, noise, 5);
    return out;
  }));
}

TEST_CASE("Empty batches and mismatched shapes") {
  const auto empty = operands<float>({0, 4}, false, true);
  CHECK_NOTHROW(ops::affine_step_into(Tensor<float>(Shape{0, 4}), empty, noise));
  const Tensor<float> out(Shape{2, 4});
  auto a = operands<float>({2, 4}, true, true);
  CHECK_THROWS_WITH_AS(ops::affine_step_into(out, a, noise, -1), "affine_step: negative offset -1", OptionError);
  CHECK_THROWS_WITH_AS(ops::affine_step_into(Tensor<float>(Shape{2, 3}), a, noise),
                       "affine_step: shapes [2, 3] and [2, 4] differ", ShapeError);
  CHECK_THROWS_WITH_AS(ops::affine_step_into(Tensor<float>(Shape{}), a, noise),
                       "affine_step: the result has no batch axis", ShapeError);
  auto bad = a;
  bad.second = Tensor<float>(Shape{4, 2});
  CHECK_THROWS_WITH_AS(ops::affine_step_into(out, bad, noise), "affine_step: shapes [2, 4] and [4, 2] differ",
                       ShapeError);
  for (Tensor<float> ops::AffineStep<float, Cpu>::*member :
       {&ops::AffineStep<float, Cpu>::x_scale, &ops::AffineStep<float, Cpu>::first_scale,
        &ops::AffineStep<float, Cpu>::second_scale, &ops::AffineStep<float, Cpu>::noise_scale}) {
    bad = a;
    bad.*member = Tensor<float>(Shape{3});
    CHECK_THROWS_WITH_AS(ops::affine_step_into(out, bad, noise), "affine_step: 3 scales for a batch of shape [2, 4]",
                         ShapeError);
  }
}
