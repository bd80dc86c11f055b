// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/instruction_set.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("The environment selects an instruction set that the processor supports") {
  CHECK(detail::parse_instruction_set("portable") == InstructionSet::portable);
  // The best one by default; sets that the processor lacks mean the next one below.
  const InstructionSet best = detail::parse_instruction_set(nullptr);
  CHECK(supports(best));
  CHECK(detail::parse_instruction_set("avx512") == best);
  for (const auto set : {InstructionSet::avx2, InstructionSet::avx512}) {
    if (supports(set)) CHECK(best >= set);
  }
  CHECK(detail::parse_instruction_set("avx2") <= InstructionSet::avx2);
  CHECK(supports(detail::parse_instruction_set("avx2")));
  CHECK_THROWS_WITH_AS(detail::parse_instruction_set("sse"),
                       "HYPERSD_INSTRUCTION_SET is 'sse': use portable, avx2 or avx512", OptionError);
  CHECK_THROWS_AS(detail::parse_instruction_set(""), OptionError);
}

TEST_CASE("Only supported instruction sets can be selected") {
  const InstructionSet before = instruction_set();
  for (const auto set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512}) {
    if (supports(set)) {
      set_instruction_set(set);
      CHECK(instruction_set() == set);
    } else {
      CHECK_THROWS_AS(set_instruction_set(set), OptionError);
    }
  }
  set_instruction_set(before);
  CHECK(instruction_set() == before);
}
