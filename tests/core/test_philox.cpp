// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/philox.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/core/math.hpp>
#include <hypersd/core/normal_blocks.hpp>
#include <hypersd/io/safetensors.hpp>
#include <set>
#include <vector>

using namespace hypersd;

TEST_CASE("Known answers of Random123") {
  CHECK(philox4x32({0, 0, 0, 0}, 0, 0) == Words4{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U});
  constexpr std::uint32_t all = 0xffffffffU;
  CHECK(philox4x32({all, all, all, all}, all, all) == Words4{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU});
  CHECK(philox4x32({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}, 0xa4093822U, 0x299f31d0U) ==
        Words4{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U});
}

TEST_CASE("Golden vectors") {
  const io::SafetensorsFile golden(HYPERSD_TEST_DATA "/philox.safetensors");
  const auto counter = golden.get<std::int64_t>("counter"), key = golden.get<std::int64_t>("key"),
             result = golden.get<std::int64_t>("result");
  auto word = [](const Tensor<std::int64_t>& t, std::int64_t i) { return static_cast<std::uint32_t>(t[i]); };
  for (std::int64_t i = 0; i < counter.dim(0); ++i) {
    const Words4 c{word(counter, 4 * i), word(counter, 4 * i + 1), word(counter, 4 * i + 2), word(counter, 4 * i + 3)};
    const Words4 r{word(result, 4 * i), word(result, 4 * i + 1), word(result, 4 * i + 2), word(result, 4 * i + 3)};
    CHECK(philox4x32(c, word(key, 2 * i), word(key, 2 * i + 1)) == r);
  }
}

TEST_CASE("Streams differ by seed, name and repetition") {
  std::set<std::uint64_t> ids;
  for (const char* name : {"", "a", "b", "noise", "noise2"})
    for (std::uint64_t sub = 0; sub < 100; ++sub) ids.insert(stream(7, name, sub).id);
  CHECK(ids.size() == 500);
  CHECK(stream(7, "a").seed == 7);
  CHECK(stream(7, "a").id == stream(8, "a").id);
  static_assert(stream(1, "x", 2).seed == 1);  // names cost nothing at run time
}

TEST_CASE("Element i has its own counter and word") {
  const Stream s{0x123456789abcdef0ULL, 0xfedcba9876543210ULL};
  for (const std::uint64_t i : {0ULL, 15ULL, 16ULL, 47ULL, 63ULL, 64ULL, 1000ULL, (1ULL << 40U) + 21}) {
    const std::uint64_t counter = i / 64 * 16 + i % 16;
    const Words4 w = philox4x32(
        {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U), 0x76543210U, 0xfedcba98U},
        0x9abcdef0U, 0x12345678U);
    const std::uint32_t words[] = {w.x, w.y, w.z, w.w};
    CHECK(bits_at(s, i) == words[i % 64 / 16]);
    CHECK(uniform_at(s, i) == static_cast<float>(words[i % 64 / 16] >> 8U) / 16777216.0F);
  }
}

TEST_CASE("Integers stay in range and reach every value") {
  const Stream s = stream(3, "integers");
  std::vector<int> count(7, 0);
  for (std::uint64_t i = 0; i < 7000; ++i) ++count[static_cast<std::size_t>(integer_at(s, i, 7))];
  for (const int c : count) CHECK((c > 880 && c < 1120));
  CHECK(integer_at(s, 5, 1) == 0);
}

TEST_CASE("Blocks of normals are the single elements, bit for bit") {
  const Stream s = stream(5, "blocks");
  for (const std::uint64_t first :
       {std::uint64_t{0}, std::uint64_t{3}, (std::uint64_t{1} << 28U) - 2, std::uint64_t{1} << 40U}) {
    float many[5 * 64], generic[5 * 64];
    normal_blocks(s, first, 5, many);
    detail::normal_blocks_generic(s, first, 5, generic);
    for (std::uint64_t i = 0; i < 5 * 64; ++i) {
      REQUIRE(many[i] == normal_at(s, first * 64 + i));
      REQUIRE(generic[i] == many[i]);
    }
  }
}
