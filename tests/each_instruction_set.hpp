// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/instruction_set.hpp>

/// Calls f(set) with every instruction set that this processor supports; then the selection is as before.
template <class F>
void for_each_instruction_set(F&& f) {
  struct Restore {
    hypersd::InstructionSet before = hypersd::instruction_set();
    Restore() = default;
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;
    ~Restore() { hypersd::set_instruction_set(before); }
  };
  const Restore restore;
  using Set = hypersd::InstructionSet;
  for (const Set set : {Set::portable, Set::avx2, Set::avx512}) {
    if (!hypersd::supports(set)) continue;
    hypersd::set_instruction_set(set);
    f(set);
  }
}
