// SPDX-License-Identifier: Apache-2.0
// Loads, stores, addresses and asynchronous copies (PTX ISA, chapter 9.7.9).
#include <algorithm>
#include <fake_cuda/ptx/machine.hpp>
#include <sstream>

namespace ptx {

namespace {

enum class Space { generic, global, shared, local, param, constant };

/// A generic address of what an instruction means by one of its space: offsets in other memory than global have 32
/// bits.
template <Space space>
std::uint64_t generic(std::uint64_t address) {
  constexpr std::uint64_t low = 0xffffffffU;
  if constexpr (space == Space::shared) return shared_window | (address & low);
  if constexpr (space == Space::local) return local_window | (address & low);
  if constexpr (space == Space::param) return parameter_window | (address & low);
  if constexpr (space == Space::constant) return variable_window | (address & low);
  return address;
}

template <Space space, class T>
void load(Thread& t, const Instruction& i) {
  const auto address = generic<space>(t.r[i.s[0]] + static_cast<std::uint64_t>(i.number));
  const char* from = t.machine->at(t, address, static_cast<std::uint32_t>(sizeof(T) * i.count), false);
  for (std::size_t k = 0; k < i.count; ++k) {
    T value;
    std::memcpy(&value, from + k * sizeof(T), sizeof(T));
    set<T>(t, i.d[k], value);
  }
}
template <Space space, class T>
void store(Thread& t, const Instruction& i) {
  const auto address = generic<space>(t.r[i.s[0]] + static_cast<std::uint64_t>(i.number));
  char* to = t.machine->at(t, address, static_cast<std::uint32_t>(sizeof(T) * i.count), true);
  for (std::size_t k = 0; k < i.count; ++k) {
    const T value = get<T>(t, i.s[k + 1]);
    std::memcpy(to + k * sizeof(T), &value, sizeof(T));
  }
}

template <Space space>
Handler access(bool writes, const std::string& type) {
  const auto of = [writes]<class T>(T) -> Handler { return writes ? store<space, T> : load<space, T>; };
  if (type == "u8" || type == "b8") return of(std::uint8_t());
  if (type == "s8") return of(std::int8_t());
  if (type == "u16" || type == "b16") return of(std::uint16_t());
  if (type == "s16") return of(std::int16_t());
  if (type == "u32" || type == "b32") return of(std::uint32_t());
  if (type == "s32") return of(std::int32_t());
  if (type == "u64" || type == "b64" || type == "s64") return of(std::uint64_t());
  if (type == "f32") return of(float());
  if (type == "f64") return of(double());
  return nullptr;
}

/// Between generic addresses and those of a space.
template <Space space>
void to_generic(Thread& t, const Instruction& i) {
  t.r[i.d[0]] = generic<space>(t.r[i.s[0]]);
}
template <Space space>
void from_generic(Thread& t, const Instruction& i) {
  t.r[i.d[0]] = space == Space::global ? t.r[i.s[0]] : t.r[i.s[0]] & ~window_mask;
}

/// The bytes arrive when they are waited for; until then there is nothing of use in their place.
void copy_async(Thread& t, const Instruction& i) {
  Transfer x{generic<Space::shared>(t.r[i.s[0]] + static_cast<std::uint64_t>(i.number)), {}, 0, false, 0};
  x.size = static_cast<std::uint8_t>(get<std::uint32_t>(t, i.s[2]));
  const std::uint32_t given = i.s[3] < 0 ? x.size : std::min<std::uint32_t>(get<std::uint32_t>(t, i.s[3]), x.size);
  if (given > 0) {
    const std::uint64_t address = t.r[i.s[1]] + static_cast<std::uint64_t>(i.second);
    if (address % x.size != 0) throw Fault("an asynchronous copy from an address that is not aligned");
    for (std::uint32_t done = 0, n = 0; done < given; done += n) {  // a part of 16 bytes goes by pieces
      n = given == x.size ? given : given - done >= 4 ? 4 : given - done >= 2 ? 2 : 1;
      std::memcpy(x.bytes.data() + done, t.machine->at(t, address + done, n, false), n);
    }
  }
  std::memset(t.machine->at(t, x.to, x.size, true), 0xff, x.size);
  t.transfers.push_back(x);
}
void commit_group(Thread& t, const Instruction&) {
  for (Transfer& x : t.transfers) {
    if (x.committed) continue;
    x.committed = true;
    x.group = t.groups;
  }
  ++t.groups;
}
/// All but the last `pending` groups have arrived.
void arrive(Thread& t, std::int64_t pending, bool all) {
  std::erase_if(t.transfers, [&](const Transfer& x) {
    if (!all && !(x.committed && x.group < t.groups - pending)) return false;
    std::memcpy(t.machine->at(t, x.to, x.size, true, false), x.bytes.data(), x.size);
    return true;
  });
}

std::vector<std::string> words(const std::string& opcode) {
  std::vector<std::string> out;
  std::istringstream in(opcode);
  for (std::string word; std::getline(in, word, '.');) out.push_back(word);
  return out;
}

}  // namespace

Handler memory_access(const std::string& opcode) {
  if (opcode.starts_with("cp.async.commit_group")) return commit_group;
  if (opcode.starts_with("cp.async.wait_group"))
    return [](Thread& t, const Instruction& i) { arrive(t, get<std::int64_t>(t, i.s[0]), false); };
  if (opcode.starts_with("cp.async.wait_all")) return [](Thread& t, const Instruction&) { arrive(t, 0, true); };
  if (opcode.starts_with("cp.async.c")) return copy_async;

  const auto parts = words(opcode);
  const auto has = [&](const char* word) { return std::find(parts.begin(), parts.end(), word) != parts.end(); };
  if (parts[0] == "cvta") {
    const bool back = has("to");
    if (has("shared")) return back ? from_generic<Space::shared> : to_generic<Space::shared>;
    if (has("local")) return back ? from_generic<Space::local> : to_generic<Space::local>;
    if (has("param")) return back ? from_generic<Space::param> : to_generic<Space::param>;
    if (has("const")) return back ? from_generic<Space::constant> : to_generic<Space::constant>;
    return from_generic<Space::global>;
  }
  if (parts[0] != "ld" && parts[0] != "st") return nullptr;
  const bool writes = parts[0] == "st";
  if (has("shared")) return access<Space::shared>(writes, parts.back());
  if (has("local")) return access<Space::local>(writes, parts.back());
  if (has("param")) return access<Space::param>(writes, parts.back());
  if (has("const")) return access<Space::constant>(writes, parts.back());
  if (has("global")) return access<Space::global>(writes, parts.back());
  return access<Space::generic>(writes, parts.back());
}

}  // namespace ptx
