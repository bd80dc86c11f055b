// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/torch_random.hpp>
#include <hypersd/io/safetensors.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace hypersd;

TEST_CASE("torch random: the numbers of torch.Generator, call after call") {
  const io::SafetensorsFile golden(std::string(HYPERSD_TEST_DATA) + "/torch_random.safetensors");
  constexpr std::array<std::int64_t, 12> sizes{16, 64, 17, 31, 1, 3, 40, 15, 2, 100, 1, 7};
  for (const std::uint64_t seed :
       {std::uint64_t{0}, std::uint64_t{42}, (std::uint64_t{1} << 32U) + 7, (std::uint64_t{1} << 63U) - 1}) {
    TorchGenerator generator(seed);
    double worst = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const auto want = golden.tensor<float>(std::to_string(seed) + "." + std::to_string(i));
      const auto got = generator.normal(Shape{sizes[i]});
      REQUIRE(got.shape() == want.shape());
      for (std::int64_t k = 0; k < got.size(); ++k)
        worst = std::max(worst, std::abs(static_cast<double>(got[k]) - static_cast<double>(want[k])));
    }
    CHECK_MESSAGE(worst < 5e-7, seed);
  }
}

TEST_CASE("torch random: a batch is its samples one after the other where 16 divides their size") {
  TorchGenerator one(3), all(3);
  const auto batch = all.normal(Shape{2, 4, 2, 2});
  const auto first = one.normal(Shape{4, 2, 2}), second = one.normal(Shape{4, 2, 2});
  for (std::int64_t i = 0; i < 16; ++i) {
    CHECK(batch[i] == first[i]);
    CHECK(batch[16 + i] == second[i]);
  }
}
