// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cuda/kernels.cuh>
#include <hypersd/ops/random.hpp>

#include <bit>
#include <cstdlib>
#include <gpu.hpp>

using namespace hypersd;

namespace {

/// All 32 bits of elements offset, offset + 1, ... of a stream.
struct Bits {
  std::int32_t* out;
  std::int64_t n, offset;
  Stream s;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return n; }
  HYPERSD_HD void operator()(std::int64_t i) const {
    out[i] = static_cast<std::int32_t>(bits_at(s, static_cast<std::uint64_t>(offset + i)));
  }
};

/// Distance of two floats in units of the last place.
std::int64_t ulps(float a, float b) {
  const auto ordered = [](float x) {
    const auto bits = std::bit_cast<std::int32_t>(x);
    return static_cast<std::int64_t>(bits < 0 ? -(bits & 0x7fffffff) : bits);
  };
  return std::abs(ordered(a) - ordered(b));
}

}  // namespace

TEST_CASE("CUDA: Philox gives the CPU's integers bit for bit, wherever the run of elements begins") {
  if (!gpu::have_device()) return;
  const Stream s = stream(0x123456789abcdefULL, "bits", 7);
  for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{37}, (std::int64_t{1} << 33) + 5}) {
    const std::int64_t n = 100003;
    const Tensor<std::int32_t, Cuda> got(Shape{n});
    ops::launch::run_elements(Cuda{}, "bits", Bits{got.data(), n, offset, s});
    const auto on_host = gpu::host(got);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < n; ++i)
      wrong += static_cast<std::uint32_t>(on_host[i]) != bits_at(s, static_cast<std::uint64_t>(offset + i));
    CHECK(wrong == 0);
  }
}

TEST_CASE("CUDA: uniform numbers are the CPU's, and normals to one unit in the last place") {
  if (!gpu::have_device()) return;
  const Stream s = stream(5, "normals");
  for (const std::int64_t offset : {0, 1, 63, 64, 1000}) {
    const Shape shape{3, 33331};
    CHECK(gpu::host(ops::uniform<float, Cuda>(shape, s, 0, 1, offset)).to_vector() ==
          ops::uniform<float>(shape, s, 0, 1, offset).to_vector());
    const auto got = gpu::host(ops::normal<float, Cuda>(shape, s, offset)),
               expected = ops::normal<float>(shape, s, offset);
    std::int64_t worst = 0;
    for (std::int64_t i = 0; i < got.size(); ++i) worst = std::max(worst, ulps(got[i], expected[i]));
    CHECK(worst <= 1);
  }
}
