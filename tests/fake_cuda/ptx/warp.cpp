// SPDX-License-Identifier: Apache-2.0
// Instructions that a warp carries out together: shuffles, votes, matrix loads and products on tensor cores. Where an
// element of a matrix is kept is written down here from the PTX ISA (9.7.14, "Matrix Fragments"), apart from the
// library.
#include <fake_cuda/ptx/machine.hpp>
#include <hypersd/core/half.hpp>

namespace ptx {

namespace {

using u32 = std::uint32_t;

bool takes_part(const Thread& first, u32 lane) { return (first.machine->active >> lane & 1U) != 0; }
Thread& lane_of(Thread& first, u32 lane) { return *(&first + lane); }

/// All lanes of `mask`, which each of them gives, are here, and no others.
void require_mask(Thread& first, Slot mask) {
  for (u32 lane = 0; lane < 32; ++lane)
    if (takes_part(first, lane) && get<u32>(lane_of(first, lane), mask) != first.machine->active)
      throw Fault("not the lanes of the mask have come to this instruction");
}

enum class Shuffle { up, down, bfly, idx };

template <Shuffle how>
void shuffle(Thread& first, const Instruction& i) {
  require_mask(first, i.s[3]);
  std::array<u32, 32> before{};
  for (u32 lane = 0; lane < 32; ++lane)
    if (takes_part(first, lane)) before[lane] = get<u32>(lane_of(first, lane), i.s[0]);
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!takes_part(first, lane)) continue;
    Thread& t = lane_of(first, lane);
    const u32 by = get<u32>(t, i.s[1]) & 31U, c = get<u32>(t, i.s[2]), clamp = c & 31U, segment = c >> 8 & 31U;
    const u32 most = (lane & segment) | (clamp & ~segment), least = lane & segment;
    u32 from = 0;
    bool inside = false;
    switch (how) {
      case Shuffle::up:
        from = lane - by;
        inside = static_cast<std::int32_t>(from) >= static_cast<std::int32_t>(most);
        break;
      case Shuffle::down: from = lane + by, inside = from <= most; break;
      case Shuffle::bfly: from = lane ^ by, inside = from <= most; break;
      case Shuffle::idx: from = least | (by & ~segment), inside = from <= most; break;
    }
    if (!inside) from = lane;
    if (!takes_part(first, from)) throw Fault("a shuffle from a lane that takes no part");
    set<u32>(t, i.d[0], before[from]);
    set<bool>(t, i.d[1], inside);
  }
}

template <class F>
void vote(Thread& first, const Instruction& i, Slot mask, F&& result) {
  require_mask(first, mask);
  u32 ballot = 0;
  for (u32 lane = 0; lane < 32; ++lane)
    if (takes_part(first, lane) && get<bool>(lane_of(first, lane), i.s[0])) ballot |= 1U << lane;
  for (u32 lane = 0; lane < 32; ++lane)
    if (takes_part(first, lane)) set<u32>(lane_of(first, lane), i.d[0], result(ballot));
}

void require_whole(const Thread& first) {
  if (first.machine->active != 0xffffffffU) throw Fault("lanes are missing at an instruction of the whole warp");
}

/// Element `upper` of a register's two.
template <class T>
float element(const Thread& t, Slot s, u32 upper) {
  return static_cast<float>(std::bit_cast<T>(static_cast<std::uint16_t>(get<u32>(t, s) >> (16 * upper))));
}

/// mma.m16n8k16: sources a (4 registers), b (2), c (4); sums in the order of k.
template <class T>
void product(Thread& first, const Instruction& i) {
  require_whole(first);
  std::array<std::array<float, 16>, 16> a{};
  std::array<std::array<float, 8>, 16> b{};
  for (u32 lane = 0; lane < 32; ++lane) {
    const Thread& t = lane_of(first, lane);
    const u32 group = lane >> 2, in_group = lane & 3U;
    for (u32 e = 0; e < 8; ++e) {
      const u32 row = e < 2 || (e >= 4 && e < 6) ? group : group + 8, col = in_group * 2 + (e & 1U) + (e >= 4 ? 8 : 0);
      a[row][col] = element<T>(t, i.s[e / 2], e & 1U);
    }
    for (u32 e = 0; e < 4; ++e)
      b[in_group * 2 + (e & 1U) + (e >= 2 ? 8 : 0)][group] = element<T>(t, i.s[4 + e / 2], e & 1U);
  }
  for (u32 lane = 0; lane < 32; ++lane) {
    Thread& t = lane_of(first, lane);
    std::array<float, 4> out{};
    for (u32 e = 0; e < 4; ++e) {
      const u32 row = (lane >> 2) + (e >= 2 ? 8 : 0), col = (lane & 3U) * 2 + (e & 1U);
      out[e] = get<float>(t, i.s[6 + e]);
      for (u32 k = 0; k < 16; ++k) out[e] += a[row][k] * b[k][col];
    }
    for (u32 e = 0; e < 4; ++e) set<float>(t, i.d[e], out[e]);
  }
}

/// ldmatrix: lanes 8 m ... 8 m + 7 have the addresses of the rows of matrix m.
template <bool transposed>
void load_matrices(Thread& first, const Instruction& i) {
  require_whole(first);
  for (u32 m = 0; m < i.count; ++m) {
    std::array<std::array<std::uint16_t, 8>, 8> matrix{};
    for (u32 row = 0; row < 8; ++row) {
      Thread& t = lane_of(first, 8 * m + row);
      const std::uint64_t offset = (t.r[i.s[0]] + static_cast<std::uint64_t>(i.number)) & 0xffffffffU;
      std::memcpy(matrix[row].data(), t.machine->at(t, shared_window | offset, 16, false), 16);
    }
    for (u32 lane = 0; lane < 32; ++lane) {
      const u32 row = lane >> 2, col = (lane & 3U) * 2;
      const u32 low = transposed ? matrix[col][row] : matrix[row][col];
      const u32 high = transposed ? matrix[col + 1][row] : matrix[row][col + 1];
      set<u32>(lane_of(first, lane), i.d[m], low | high << 16);
    }
  }
}

}  // namespace

Handler warp_operation(const std::string& opcode) {
  if (opcode == "shfl.sync.up.b32") return shuffle<Shuffle::up>;
  if (opcode == "shfl.sync.down.b32") return shuffle<Shuffle::down>;
  if (opcode == "shfl.sync.bfly.b32") return shuffle<Shuffle::bfly>;
  if (opcode == "shfl.sync.idx.b32") return shuffle<Shuffle::idx>;
  if (opcode == "vote.sync.ballot.b32")
    return [](Thread& t, const Instruction& i) { vote(t, i, i.s[1], [](u32 ballot) { return ballot; }); };
  if (opcode == "vote.sync.any.pred")
    return [](Thread& t, const Instruction& i) { vote(t, i, i.s[1], [](u32 ballot) -> u32 { return ballot != 0; }); };
  if (opcode == "vote.sync.all.pred")
    return [](Thread& t, const Instruction& i) {
      vote(t, i, i.s[1], [&](u32 ballot) -> u32 { return ballot == t.machine->active; });
    };
  if (opcode == "bar.warp.sync") return [](Thread& t, const Instruction& i) { require_mask(t, i.s[0]); };
  if (opcode == "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") return product<hypersd::bfloat16>;
  if (opcode == "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32") return product<hypersd::half>;
  if (opcode.starts_with("ldmatrix.sync.aligned.m8n8.") && opcode.ends_with(".b16"))
    return opcode.find(".trans") != std::string::npos ? load_matrices<true> : load_matrices<false>;
  return nullptr;
}

}  // namespace ptx
