// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdlib>
#include <hypersd/core/error.hpp>
#include <string_view>

/// \file
/// The vector instructions of the kernels that are compiled for several of them, whatever the flags of the translation
/// unit are. The best that the processor supports is the default; `HYPERSD_INSTRUCTION_SET=portable`, `avx2` or
/// `avx512` in the environment, or `set_instruction_set`, selects another one.

namespace hypersd {

/// In the order of preference: what the translation unit is compiled for, AVX2 with FMA, AVX-512F.
enum class InstructionSet { portable, avx2, avx512 };

/// Whether this processor (and operating system) executes `set`.
inline bool supports(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::avx512) return __builtin_cpu_supports("avx512f") != 0;
  if (set == InstructionSet::avx2) return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
#endif
  return set == InstructionSet::portable;
}

namespace detail {

/// The best supported one that is not above `limit`.
inline InstructionSet best_supported(InstructionSet limit) {
  for (const auto set : {InstructionSet::avx512, InstructionSet::avx2})
    if (set <= limit && supports(set)) return set;
  return InstructionSet::portable;
}

/// The choice that a value of the environment variable means; null: none. A set that the processor does not support
/// means the next one below. Throws OptionError for another name.
inline InstructionSet parse_instruction_set(const char* name) {
  const std::string_view text = name == nullptr ? "avx512" : name;
  if (text == "avx512") return best_supported(InstructionSet::avx512);
  if (text == "avx2") return best_supported(InstructionSet::avx2);
  require<OptionError>(text == "portable", "HYPERSD_INSTRUCTION_SET is '", text, "': use portable, avx2 or avx512");
  return InstructionSet::portable;
}

inline std::atomic<InstructionSet>& chosen_instruction_set() {
  static std::atomic<InstructionSet> chosen{parse_instruction_set(std::getenv("HYPERSD_INSTRUCTION_SET"))};
  return chosen;
}

}  // namespace detail

/// The instructions that kernels use. Thread-safe. Throws OptionError if the environment names an unknown one.
inline InstructionSet instruction_set() { return detail::chosen_instruction_set().load(std::memory_order_relaxed); }

/// Selects the instructions of all kernels that start later. Thread-safe. Throws OptionError if the processor does not
/// support them.
inline void set_instruction_set(InstructionSet set) {
  require<OptionError>(supports(set), "set_instruction_set: this processor does not support ",
                       set == InstructionSet::avx512 ? "AVX-512F" : "AVX2 with FMA");
  detail::chosen_instruction_set().store(set, std::memory_order_relaxed);
}

}  // namespace hypersd
