// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/matmul.hpp>

#include <gpu.hpp>

using namespace hypersd;

namespace {

/// Largest difference of x W^T + b on the GPU to that in double, of sums of 200 products of normals.
template <class T>
double distance(bool tf32) {
  const ops::AllowTf32 guard(tf32);
  const auto x = ops::cast<T>(numbers::normal<float>({70, 200}, "x")),
             w = ops::cast<T>(numbers::normal<float>({33, 200}, "w"));
  const auto bias = ops::cast<T>(numbers::normal<float>({33}, "b"));
  const auto got = gpu::host(ops::linear(x.template to<Cuda>(), w.template to<Cuda>(), bias.template to<Cuda>()));
  const auto expected = ops::linear(ops::cast<double>(x), ops::cast<double>(w), ops::cast<double>(bias));
  return numbers::distance(ops::cast<double>(got), expected);
}

}  // namespace

TEST_CASE("CUDA: products are as exact as their type, and float ones rounded to TF32 only by choice") {
  if (!gpu::have_device()) return;
  CHECK(distance<double>(false) < 1e-12);
  CHECK(distance<float>(false) < 1e-4);
  CHECK(distance<float>(true) > 1e-4);
  CHECK(distance<float>(true) < 0.1);
  // Sums up to about 60 are rounded once, to 8 and 11 bits.
  CHECK(distance<bfloat16>(false) < 0.15);
  CHECK(distance<hypersd::half>(false) < 0.02);
}

TEST_CASE("CUDA: products of all transposes, with and without what was there") {
  if (!gpu::have_device()) return;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const float beta : {0.0F, 1.0F}) {
        const auto f = [&](auto device) {
          using D = decltype(device);
          const auto a = gpu::normal<D>(ta ? Shape{3, 17, 9} : Shape{3, 9, 17}, "a");
          const auto b = gpu::normal<D>(tb ? Shape{3, 21, 17} : Shape{3, 17, 21}, "b");
          const auto c = gpu::normal<D>({3, 9, 21}, "c");
          ops::batched_gemm(c, a, ta, b, tb, 0.5F, beta);
          return std::vector<Tensor<float>>{gpu::host(c)};
        };
        CHECK(gpu::distance_to_cpu(f) < 1e-4);
      }
}
