// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// \file
/// What nvcc made of kernels, in the form in which it embeds them in a program: PTX ("PTX ISA", NVIDIA), read into
/// instructions that a machine in host memory can execute.

namespace ptx {

struct Thread;
struct Instruction;

/// Carries an instruction out.
using Handler = void (*)(Thread&, const Instruction&);

/// Places of registers, constants and special registers alike: a thread has one array of them. -1: none.
using Slot = std::int32_t;

struct Instruction {
  Handler run = nullptr;
  Slot guard = -1;          ///< executed only if this predicate is true
  bool unless = false;      ///< ... false
  bool collective = false;  ///< done for a warp at once, when all its lanes have come here
  std::uint8_t count = 1;   ///< elements of a vector
  std::array<Slot, 4> d{-1, -1, -1, -1};
  std::array<Slot, 12> s{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  std::int64_t number = 0;            ///< offset of an address, or target of a jump
  std::int64_t second = 0;            ///< offset of another address
  std::vector<std::int32_t> targets;  ///< of an indexed jump
  std::string_view text;              ///< the line of the source
};

struct Parameter {
  std::size_t offset, size;
};

/// Special registers have the first slots.
enum Special : Slot {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  dynamic_smem_size,
  specials
};

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  std::size_t parameter_bytes = 0, shared_bytes = 0, local_bytes = 0;
  std::uint32_t most_threads = 1024;     ///< .maxntid
  std::vector<std::uint64_t> registers;  ///< what they begin with: constants have their values
  std::vector<Instruction> code;
};

/// A translation unit's kernels and its variables in global and constant memory.
struct Module {
  std::unique_ptr<std::string> text;  ///< instructions refer to it
  std::map<std::string, Kernel, std::less<>> kernels;
  std::vector<char> variables;
};

/// Throws std::runtime_error that names the line. An instruction that is not known is an error only once it is reached.
Module parse(std::string text);

/// How an opcode is executed, in a table; null if it is not known there.
Handler arithmetic(const std::string& opcode);
Handler conversion(const std::string& opcode);
Handler memory_access(const std::string& opcode);
/// Of whole warps: called for the first lane of the warp, whatever lanes take part (`Machine::active`).
Handler warp_operation(const std::string& opcode);

/// Addresses of memory that is not global: generic pointers to it begin here.
inline constexpr std::uint64_t shared_window = std::uint64_t{1} << 56, local_window = std::uint64_t{2} << 56,
                               variable_window = std::uint64_t{3} << 56, parameter_window = std::uint64_t{4} << 56,
                               window_mask = std::uint64_t{255} << 56;

}  // namespace ptx
